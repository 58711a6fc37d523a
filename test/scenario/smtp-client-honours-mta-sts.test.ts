import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import type http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import {
  type Certificate,
  certificateAuthority,
  commonNameCertificate,
  issuedBy,
} from "../support/certificate.ts";
import { type DnsZone, startDnsZone, type ZoneName } from "../support/dns-zone.ts";
import { type PolicyHost, policyText, startPolicyHost } from "../support/policy-host.ts";
import {
  attempt,
  type MessageGiven,
  summary,
  type TransportSettings,
  testMessage,
  testTransport,
} from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, type SmtpPeerOptions, startSmtpPeer, usualExtensions } from "../support/smtp-peer.ts";

const authority = certificateAuthority("authority.test");
const forMx = issuedBy(authority, { names: ["mx.test"] });
const forPolicies = issuedBy(authority, { names: ["mta-sts.example.test"] });

let zone: DnsZone;
let policies: PolicyHost;
let data: string;
const peers: SmtpPeer[] = [];
const transports: SmtpClient[] = [];

beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), "postern-sts-"));
  zone = await startDnsZone({
    "example.test": { MX: [[10, "mx.test"]] },
    "mx.test": { A: ["127.0.0.1"] },
    "_mta-sts.example.test": { TXT: ["v=STSv1; id=1;"] },
    "mta-sts.example.test": { A: ["127.0.0.1"] },
  });
  policies = await startPolicyHost(forPolicies, policyText("enforce", ["mx.test"]));
});

afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.close(1000)));
  await Promise.all([...peers.splice(0), zone, policies].map((server) => server.stop()));
  await rm(data, { recursive: true });
});

async function peer(options: SmtpPeerOptions = { tls: forMx }): Promise<SmtpPeer> {
  const started = await startSmtpPeer(options);
  peers.push(started);
  return started;
}

interface Settings {
  config?: TransportSettings["config"];
  mxPort: number;
  now?: () => number;
  /** For the policy host. */
  timeoutMs?: number;
}

function transportFor({ config, mxPort, now = Date.now, timeoutMs = 10_000 }: Settings): SmtpClient {
  const options = {
    extraCa: [authority.cert],
    mxPort,
    now,
    policyHosts: { port: policies.port, timeoutMs },
  };
  const transport = testTransport({ config: { data, ...config }, dns: zone, options });
  transports.push(transport);
  return transport;
}

async function send(transport: SmtpClient, message: MessageGiven = {}) {
  const result = await attempt(transport, { kind: "mx", domain: "example.test" }, testMessage(message));
  assert.ok(result.kind === "tried");
  const outcome = result.outcomes.get(0);
  const reason = outcome === undefined || outcome.kind === "delivered" ? "" : outcome.diagnosis.reason;
  return { brief: summary(outcome), reason, last: result.facts.tries.at(-1) };
}

/** A policy that would refuse the host, under a status that makes it none. */
function withStatus(status: number): http.RequestListener {
  const headers = { "content-type": "text/plain", location: "/.well-known/mta-sts.txt" };
  return (_, response) => response.writeHead(status, headers).end(policyText("enforce", ["elsewhere.test"]));
}

test("enforce: a listed host with a valid certificate gets the mail, under policy mta-sts (RFC 8461 §4)", async () => {
  const mx = await peer();
  const { brief, last } = await send(transportFor({ mxPort: mx.port }));
  assert.equal(brief, "delivered");
  assert.equal(mx.received[0]?.tls, true);
  assert.deepEqual(
    [last?.policy, last?.tls?.level, last?.tls?.peerName, last?.tls?.verified],
    ["mta-sts", "mta-sts", "mx.test", true],
  );
  assert.deepEqual(policies.requests, ["mta-sts.example.test /.well-known/mta-sts.txt"]);
});

for (const [what, options] of [
  ["offers no STARTTLS", {}],
  ["refuses STARTTLS", { tls: forMx, script: { starttls: () => "454 4.7.0 not now" } }],
  ["has a certificate for another name", { tls: issuedBy(authority, { names: ["other.test"] }) }],
  [
    "has a certificate that nobody vouches for",
    { tls: issuedBy(certificateAuthority("x.test"), { names: ["mx.test"] }) },
  ],
  ["has a wildcard certificate for one label less", { tls: issuedBy(authority, { names: ["*.mx.test"] }) }],
] satisfies [string, SmtpPeerOptions][]) {
  test(`enforce: a host that ${what} gets no mail, and the mail is deferred (RFC 8461 §4.2, §5)`, async () => {
    const mx = await peer(options);
    const { brief } = await send(transportFor({ mxPort: mx.port }));
    assert.match(brief, /^deferred 4\.7\.[045] /);
    assert.equal(mx.received.length, 0);
    assert.equal(mx.connections, 1);
  });
}

test("enforce: the common name does not count (RFC 8461 §4.2)", async () => {
  const plain = commonNameCertificate("mx.test");
  const mx = await peer({ tls: plain });
  const options = {
    extraCa: [authority.cert, plain.cert],
    mxPort: mx.port,
    policyHosts: { port: policies.port },
  };
  const transport = testTransport({ config: { data }, dns: zone, options });
  transports.push(transport);
  assert.equal((await send(transport)).brief, "deferred 4.7.5 network");
});

test("enforce: hosts that are not listed are skipped, even where they are preferred (RFC 8461 §5)", async () => {
  zone.set("example.test", {
    MX: Array.from({ length: 8 }, (_, i): [number, string] => [i, `evil${i}.test`]).concat([[10, "mx.test"]]),
  });
  for (let i = 0; i < 8; i++) zone.set(`evil${i}.test`, { A: ["127.0.0.1"] });
  const mx = await peer();
  const { brief, last } = await send(transportFor({ mxPort: mx.port }));
  assert.equal(brief, "delivered");
  assert.equal(last?.host, "mx.test");
  assert.equal(mx.connections, 1);
});

test("enforce: without a listed host the mail is deferred, and the reason names the policy (RFC 8461 §5)", async () => {
  policies.serve(policyText("enforce", ["elsewhere.test"]));
  const mx = await peer();
  const { brief, reason } = await send(transportFor({ mxPort: mx.port }));
  assert.equal(brief, "deferred 4.7.0 network");
  assert.match(reason, /mx\.test: the domain's MTA-STS policy does not list it/);
  assert.equal(mx.connections, 0);
});

for (const [what, listed, options, failure] of [
  ["a host that is not listed", "elsewhere.test", { tls: forMx }, /does not list/],
  ["a host without TLS", "mx.test", {}, /no TLS/],
  ["a certificate for another name", "mx.test", { tls: forPolicies }, /not for mx\.test/],
] satisfies [string, string, SmtpPeerOptions, RegExp][]) {
  test(`testing: ${what} gets the mail, and the failure is logged (RFC 8461 §5)`, async () => {
    policies.serve(policyText("testing", [listed]));
    const mx = await peer(options);
    const { brief, last } = await send(transportFor({ mxPort: mx.port }));
    assert.equal(brief, "delivered");
    assert.match(last?.stsFailure ?? "", failure);
    assert.equal(last?.policy, "may");
  });
}

test("testing: without a failure nothing is logged", async () => {
  policies.serve(policyText("testing", ["mx.test"]));
  const mx = await peer();
  const { last } = await send(transportFor({ mxPort: mx.port }));
  assert.equal(last?.stsFailure, undefined);
  assert.equal(last?.tls?.verified, true);
});

for (const [what, serve] of [
  ["mode none (RFC 8461 §5)", () => policies.serve(policyText("none", []))],
  ["a redirect, which is not followed (RFC 8461 §3.3)", () => policies.serve(withStatus(301))],
  ["a policy that comes with 404", () => policies.serve(withStatus(404))],
  ["a policy that comes with 203", () => policies.serve(withStatus(203))],
  [
    "another media type (RFC 8461 §3.3)",
    () =>
      policies.serve((_, response) =>
        response
          .writeHead(200, { "content-type": "text/html" })
          .end(policyText("enforce", ["elsewhere.test"])),
      ),
  ],
  [
    "a policy of more than 64 KB (RFC 8461 §3.3)",
    () => policies.serve(policyText("enforce", ["elsewhere.test"]) + "x: y\n".repeat(14_000)),
  ],
  ["a policy host that never answers (RFC 8461 §3.3)", () => policies.serve(() => {})],
  [
    "a policy host that never ends",
    () =>
      policies.serve(
        (_, response) => void response.writeHead(200, { "content-type": "text/plain" }).write("v"),
      ),
  ],
  ["a policy that is none", () => policies.serve("mode: enforce")],
  [
    "octets that are no UTF-8",
    () =>
      policies.serve((_, response) =>
        response.writeHead(200, { "content-type": "text/plain" }).end(Buffer.from([0xff, 0xfe])),
      ),
  ],
  [
    "no TXT record, so nothing is fetched (RFC 8461 §3.1)",
    () => zone.set("_mta-sts.example.test", undefined),
  ],
  [
    "two TXT records (RFC 8461 §3.1)",
    () => zone.set("_mta-sts.example.test", { TXT: ["v=STSv1; id=1;", "v=STSv1; id=2;"] }),
  ],
  ["a policy host without an address", () => zone.set("mta-sts.example.test", undefined)],
] satisfies [string, () => void][]) {
  // Long enough for an answer even on a busy machine, but where none is to come.
  const timeoutMs = what.includes("never") ? 300 : 10_000;
  test(`${what}: delivered as if there were no policy`, async () => {
    serve();
    const mx = await peer({});
    const { brief, last } = await send(transportFor({ mxPort: mx.port, timeoutMs }));
    assert.equal(brief, "delivered");
    assert.equal(last?.policy, "may");
    assert.ok(policies.requests.length <= 1);
  });
}

for (const [what, certificate] of [
  ["for another name", forMx],
  ["that nobody vouches for", issuedBy(certificateAuthority("x.test"), { names: ["mta-sts.example.test"] })],
] satisfies [string, Certificate][]) {
  test(`a policy host with a certificate ${what} is not trusted (RFC 8461 §3.3)`, async () => {
    await policies.stop();
    policies = await startPolicyHost(certificate, policyText("enforce", ["elsewhere.test"]));
    const mx = await peer({});
    const { brief } = await send(transportFor({ mxPort: mx.port }));
    assert.equal(brief, "delivered");
    assert.deepEqual(policies.requests, []);
  });
}

test("a policy outlives a restart, although DNS and HTTPS are blocked then (RFC 8461 §10.2)", async () => {
  const mx = await peer({});
  assert.match((await send(transportFor({ mxPort: mx.port }))).brief, /^deferred 4\.7\.4/);
  zone.set("_mta-sts.example.test", undefined);
  policies.serve((_, response) => void response.destroy());
  assert.match((await send(transportFor({ mxPort: mx.port }))).brief, /^deferred 4\.7\.4/);
  assert.equal(policies.requests.length, 1);
});

for (const [what, policy, options] of [
  ["does not list the host", policyText("enforce", ["elsewhere.test"]), { tls: forMx }],
  ["asks for more TLS than there is", policyText("enforce", ["mx.test"]), {}],
] satisfies [string, string, SmtpPeerOptions][]) {
  test(`a policy that ${what} is fetched again before mail is returned, whatever its id (RFC 8461 §5)`, async () => {
    let sinceMs = 0;
    const mx = await peer(options);
    const transport = transportFor({ mxPort: mx.port, now: () => Date.now() + sinceMs });
    policies.serve(policy);
    assert.match((await send(transport)).brief, /^deferred 4\.7/);
    policies.serve(policyText("none", []));
    sinceMs = 300_000;
    assert.equal((await send(transport)).brief, "delivered");
  });
}

test("delivery.mta_sts: false looks nothing up", async () => {
  const mx = await peer({});
  const transport = transportFor({ config: { delivery: { mta_sts: false } }, mxPort: mx.port });
  assert.equal((await send(transport)).brief, "delivered");
  assert.ok(!zone.queries.some(({ name }) => name.startsWith("_mta-sts")));
});

test("delivery.tls: the first entry that matches the domain decides", async () => {
  const mx = await peer({});
  policies.serve(policyText("none", []));
  const tls = [
    { match: "*.example.test", policy: "none" },
    { match: "example.test", policy: "require" },
    { match: "*", policy: "may" },
  ] as const;
  const transport = transportFor({ config: { delivery: { tls: [...tls] } }, mxPort: mx.port });
  assert.equal((await send(transport)).brief, "deferred 4.7.4 network");
});

test("policy mta-sts: without a policy of the domain the mail is deferred; mode testing counts as enforce", async () => {
  const mx = await peer({ tls: forPolicies });
  const config = { delivery: { mta_sts: false, tls: [{ match: "*", policy: "mta-sts" as const }] } };
  policies.serve(policyText("testing", ["mx.test"]));
  assert.equal((await send(transportFor({ config, mxPort: mx.port }))).brief, "deferred 4.7.5 network");
  await rm(path.join(data, "mta-sts"), { recursive: true });
  zone.set("_mta-sts.example.test", undefined);
  const { brief, reason } = await send(transportFor({ config, mxPort: mx.port }));
  assert.equal(brief, "deferred 4.7.0 network");
  assert.match(reason, /no MTA-STS record/);
});

test("TLS-Required: No overrides an enforced policy, with TLS or without, but not the operator's own (RFC 8689 §4.2.2)", async () => {
  const message = { tlsOptional: true } as const;
  for (const options of [{}, { tls: issuedBy(authority, { names: ["other.test"] }) }]) {
    const mx = await peer(options);
    const transport = transportFor({ mxPort: mx.port });
    assert.equal((await send(transport, message)).brief, "delivered");
    assert.equal(mx.received[0]?.tls, "tls" in options);
    assert.match((await send(transport)).brief, /^deferred 4\.7\.[45] /);
  }
  const mx = await peer({});
  const config = { delivery: { tls: [{ match: "*", policy: "require" as const }] } };
  assert.equal(
    (await send(transportFor({ config, mxPort: mx.port }), message)).brief,
    "deferred 4.7.4 network",
  );
});

test("REQUIRETLS needs no DNSSEC where an enforced policy lists the host (RFC 8689 §4.2.1)", async () => {
  const extensions = [...usualExtensions, "REQUIRETLS"];
  const mx = await peer({ tls: forMx, extensions });
  const transport = transportFor({ mxPort: mx.port });
  for (const reversePath of ["alice@example.com", ""]) {
    assert.equal((await send(transport, { requireTls: true, reversePath })).brief, "delivered");
    assert.ok(mx.received.at(-1)?.mailParameters.includes("REQUIRETLS"), `from <${reversePath}>`);
  }
});

test("REQUIRETLS and a policy in testing, or one that does not list the host: 5.7.30 (RFC 8689 §4.2.1)", async () => {
  const mx = await peer({ tls: forMx, extensions: [...usualExtensions, "REQUIRETLS"] });
  for (const text of [policyText("testing", ["mx.test"]), policyText("enforce", ["elsewhere.test"])]) {
    policies.serve(text);
    const records: ZoneName = { TXT: [`v=STSv1; id=${text.length};`] };
    zone.set("_mta-sts.example.test", records);
    const { brief } = await send(transportFor({ mxPort: mx.port }), { requireTls: true });
    assert.match(brief, /^rejected 5\.7\.30/);
  }
  assert.equal(mx.received.length, 0);
});
