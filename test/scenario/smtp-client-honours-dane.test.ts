import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { NextHop } from "../../shared/routing/next-hop.ts";
import type { SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import {
  type Certificate,
  certificateAuthority,
  issuedBy,
  selfSignedCertificate,
  tlsaOf,
} from "../support/certificate.ts";
import { type Behaviour, type DnsZone, startDnsZone, type ZoneName } from "../support/dns-zone.ts";
import { policyText, startPolicyHost } from "../support/policy-host.ts";
import {
  attempt,
  type MessageGiven,
  relay,
  summary,
  type TransportSettings,
  testMessage,
  testTransport,
} from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, type SmtpPeerOptions, startSmtpPeer, usualExtensions } from "../support/smtp-peer.ts";

const own = selfSignedCertificate("anything.test");
const other = selfSignedCertificate("other.test");
const authority = certificateAuthority("authority.test");

let zone: DnsZone;
let data: string;
const peers: SmtpPeer[] = [];
const transports: SmtpClient[] = [];

beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), "postern-dane-"));
  zone = await startDnsZone();
});

afterEach(async () => {
  await Promise.all(transports.splice(0).map((transport) => transport.close(1000)));
  await Promise.all([...peers.splice(0), zone].map((server) => server.stop()));
  await rm(data, { recursive: true });
});

async function peer(options: SmtpPeerOptions = { tls: own }): Promise<SmtpPeer> {
  const started = await startSmtpPeer(options);
  peers.push(started);
  return started;
}

/** A signed zone: example.test with one MX, mx.test, and these TLSA records. */
function publish(port: number, tlsa: string[], more: Record<string, ZoneName> = {}) {
  const records: Record<string, ZoneName> = {
    "example.test": { MX: [[10, "mx.test"]] },
    "mx.test": { A: ["127.0.0.1"] },
    [`_${port}._tcp.mx.test`]: { TLSA: tlsa },
    ...more,
  };
  for (const [name, given] of Object.entries(records)) {
    zone.set(name, { behave: "authenticated", ...given });
  }
}

interface Sending {
  config?: TransportSettings["config"];
  options?: TransportSettings["options"];
  nextHop?: NextHop;
  message?: MessageGiven;
  dns?: { timeoutMs?: number };
}

const toDomain: NextHop = { kind: "mx", domain: "example.test" };

async function send({ port }: SmtpPeer, { config, options, nextHop = toDomain, message, dns }: Sending = {}) {
  const transport = testTransport({
    config: { data, ...config },
    dns: { port: zone.port, ...dns },
    options: { mxPort: port, ...options },
  });
  transports.push(transport);
  const result = await attempt(transport, nextHop, testMessage(message));
  assert.ok(result.kind === "tried");
  const outcome = result.outcomes.get(0);
  const reason = outcome === undefined || outcome.kind === "delivered" ? "" : outcome.diagnosis.reason;
  return { brief: summary(outcome), reason, last: result.facts.tries.at(-1) };
}

const wasAsked = () => zone.queries.some(({ type }) => type === "TLSA");

test("the certificate that TLSA 3 1 1 names is proof enough, whoever signed it, and the facts say so (RFC 7672 §3.1.1)", async () => {
  const mx = await peer();
  publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
  const { brief, last } = await send(mx);
  assert.equal(brief, "delivered");
  assert.equal(mx.received[0]?.tls, true);
  assert.deepEqual(
    [last?.policy, last?.tls?.level, last?.tls?.peerName, last?.tls?.verified, last?.tls?.tlsa],
    ["dane", "dane", "mx.test", true, "3 1 1"],
  );
});

for (const [what, options] of [
  ["shows another certificate", { tls: other }],
  ["offers no STARTTLS", {}],
  ["refuses STARTTLS", { tls: own, script: { starttls: () => "454 4.7.0 not now" } }],
] satisfies [string, SmtpPeerOptions][]) {
  test(`a host with usable TLSA records that ${what} gets no mail, and the mail is deferred (RFC 7672 §2.2)`, async () => {
    const mx = await peer(options);
    publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
    const { brief } = await send(mx);
    assert.match(brief, /^deferred 4\.7\.[045] /);
    assert.equal(mx.received.length, 0);
    assert.equal(mx.connections, 1);
  });
}

test("the next host may do better (RFC 7672 §2.2)", async () => {
  const bad = await peer({ tls: other, address: "127.0.0.2" });
  const good = await peer({ tls: own, address: "127.0.0.3", port: bad.port });
  publish(bad.port, [tlsaOf(own, 3, 1, 1)], {
    "example.test": {
      MX: [
        [1, "bad.test"],
        [2, "mx.test"],
      ],
    },
    "bad.test": { A: ["127.0.0.2"] },
    "mx.test": { A: ["127.0.0.3"] },
    [`_${bad.port}._tcp.bad.test`]: { TLSA: [tlsaOf(own, 3, 1, 1)] },
  });
  assert.equal((await send(good)).brief, "delivered");
  assert.deepEqual([bad.received.length, good.received.length], [0, 1]);
});

test("a trust anchor of the host's own, for the MX host's name or the domain's (RFC 7672 §3.1.2, §3.2.3)", async () => {
  for (const name of ["mx.test", "example.test"]) {
    const issued = issuedBy(authority, { names: [name] });
    const mx = await peer({ tls: { ...issued, cert: issued.cert + authority.cert } });
    publish(mx.port, [tlsaOf(authority, 2, 0, 1)]);
    const { brief, last } = await send(mx);
    assert.equal(brief, "delivered");
    assert.equal(last?.tls?.tlsa, "2 0 1");
  }
});

test("a trust anchor for another name is no proof (RFC 7672 §3.2.3)", async () => {
  const issued = issuedBy(authority, { names: ["other.test"] });
  const mx = await peer({ tls: { ...issued, cert: issued.cert + authority.cert } });
  publish(mx.port, [tlsaOf(authority, 2, 0, 1)]);
  assert.equal((await send(mx)).brief, "deferred 4.7.5 network");
});

test("TLSA records of which none is usable: TLS is required, with any certificate (RFC 7672 §2.2)", async () => {
  const unusable = ["1 1 1 00", "3 1 1 abcd", tlsaOf(own, 0, 1, 1)];
  const encrypted = await peer({ tls: other });
  publish(encrypted.port, unusable);
  const { brief, last } = await send(encrypted);
  assert.equal(brief, "delivered");
  assert.deepEqual([last?.policy, last?.tls?.verified], ["require", false]);
  const plain = await peer({});
  publish(plain.port, unusable);
  assert.equal((await send(plain)).brief, "deferred 4.7.4 network");
});

for (const behave of ["servfail", "silent"] satisfies Behaviour[]) {
  test(`a TLSA lookup that fails (${behave}) makes the host unreachable for now (RFC 7672 §2.1.2)`, async () => {
    const mx = await peer();
    publish(mx.port, [], { [`_${mx.port}._tcp.mx.test`]: { behave } });
    const dns = behave === "silent" ? { timeoutMs: 500 } : {};
    const { brief, reason } = await send(mx, { dns });
    assert.equal(brief, "deferred 4.4.3 dns");
    assert.match(reason, /mx\.test: its TLSA records cannot be looked up/);
    assert.equal(mx.connections, 0);
  });
}

test("without TLSA records DANE does not apply (RFC 7672 §2.2)", async () => {
  const mx = await peer({});
  publish(mx.port, []);
  assert.equal((await send(mx)).brief, "delivered");
});

test("TLSA records without DNSSEC are ignored (RFC 7672 §2.2)", async () => {
  const mx = await peer({});
  publish(mx.port, [], { [`_${mx.port}._tcp.mx.test`]: { TLSA: [tlsaOf(own, 3, 1, 1)], behave: "answer" } });
  assert.equal((await send(mx)).brief, "delivered");
});

test("after MX records without DNSSEC no TLSA records are looked up (RFC 7672 §2.2.1)", async () => {
  const mx = await peer({});
  publish(mx.port, [tlsaOf(own, 3, 1, 1)], { "example.test": { MX: [[10, "mx.test"]], behave: "answer" } });
  assert.equal((await send(mx)).brief, "delivered");
  assert.ok(!wasAsked());
});

test("after addresses without DNSSEC no TLSA records are looked up (RFC 7672 §2.2.2)", async () => {
  const mx = await peer({});
  publish(mx.port, [tlsaOf(own, 3, 1, 1)], { "mx.test": { A: ["127.0.0.1"], behave: "answer" } });
  assert.equal((await send(mx)).brief, "delivered");
  assert.ok(!wasAsked());
});

test("a domain without MX records is its own host, with TLSA records of its own (RFC 7672 §2.2.2)", async () => {
  const mx = await peer({ tls: other });
  publish(mx.port, [], {
    "example.test": { A: ["127.0.0.1"] },
    [`_${mx.port}._tcp.example.test`]: { TLSA: [tlsaOf(own, 3, 1, 1)] },
  });
  assert.equal((await send(mx)).brief, "deferred 4.7.5 network");
});

test("a host that is an alias: the records at its last name come first, and that name is sent as SNI (RFC 7672 §2.2.3, §8.1)", async () => {
  const mx = await peer();
  publish(mx.port, [tlsaOf(other, 3, 1, 1)], {
    "mx.test": { CNAME: "real.test" },
    "real.test": { A: ["127.0.0.1"] },
    [`_${mx.port}._tcp.real.test`]: { TLSA: [tlsaOf(own, 3, 1, 1)] },
  });
  const { brief, last } = await send(mx);
  assert.equal(brief, "delivered");
  assert.equal(last?.tls?.peerName, "real.test");
  assert.equal(mx.received[0]?.servername, "real.test");
});

test("a host that is an alias: without records at its last name, those of its own name count (RFC 7672 §2.2.3)", async () => {
  const mx = await peer();
  publish(mx.port, [tlsaOf(own, 3, 1, 1)], {
    "mx.test": { CNAME: "real.test" },
    "real.test": { A: ["127.0.0.1"] },
  });
  const { brief, last } = await send(mx);
  assert.equal(brief, "delivered");
  assert.deepEqual([last?.policy, last?.tls?.peerName], ["dane", "mx.test"]);
});

test("a signed alias into a zone without DNSSEC: the records of its own name count (RFC 7672 §2.2.2)", async () => {
  const mx = await peer();
  publish(mx.port, [tlsaOf(own, 3, 1, 1)], {
    "mx.test": { CNAME: "real.test", behave: { CNAME: "authenticated" } },
    "real.test": { A: ["127.0.0.1"], behave: "answer" },
    [`_${mx.port}._tcp.real.test`]: { TLSA: [tlsaOf(other, 3, 1, 1)] },
  });
  const { brief, last } = await send(mx);
  assert.equal(brief, "delivered");
  assert.deepEqual([last?.policy, last?.tls?.peerName], ["dane", "mx.test"]);
});

test("a relay host that is configured by name may have TLSA records too (RFC 7672 §2.2.2)", async () => {
  const mx = await peer({ tls: other });
  publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
  const nextHop = relay({ address: "mx.test", port: mx.port });
  assert.equal((await send(mx, { nextHop })).brief, "deferred 4.7.5 network");
});

test("policy dane: without usable TLSA records the mail is deferred", async () => {
  const mx = await peer();
  const config = { delivery: { tls: [{ match: "*", policy: "dane" as const }] } };
  publish(mx.port, []);
  const { brief, reason } = await send(mx, { config });
  assert.equal(brief, "deferred 4.7.0 network");
  assert.match(reason, /mx\.test: DANE is required, and it has no TLSA records/);
  publish(mx.port, ["3 1 1 abcd"]);
  assert.match((await send(mx, { config })).reason, /none of its TLSA records is usable/);
  publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
  assert.equal((await send(mx, { config })).brief, "delivered");
});

test("policy verify: a host with TLSA records is checked against these", async () => {
  const mx = await peer();
  publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
  const config = { delivery: { tls: [{ match: "example.test", policy: "verify" as const }] } };
  const { brief, last } = await send(mx, { config });
  assert.equal(brief, "delivered");
  assert.equal(last?.policy, "dane");
});

test("delivery.dane: false and policy none look nothing up", async () => {
  const mx = await peer({});
  publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
  for (const delivery of [{ dane: false }, { tls: [{ match: "*", policy: "none" as const }] }]) {
    assert.equal((await send(mx, { config: { delivery } })).brief, "delivered");
  }
  assert.ok(!wasAsked());
});

test("TLS-Required: No ignores usable TLSA records that do not match, for that message alone (RFC 8689 §4.2.2)", async () => {
  const mx = await peer({ tls: other });
  publish(mx.port, [tlsaOf(own, 3, 1, 1)]);
  const transport = testTransport({ config: { data }, dns: zone, options: { mxPort: mx.port } });
  transports.push(transport);
  const briefly = async (message?: MessageGiven) => {
    const result = await attempt(transport, toDomain, testMessage(message));
    return result.kind === "tried" ? summary(result.outcomes.get(0)) : result.kind;
  };
  assert.equal(await briefly({ tlsOptional: true }), "delivered");
  assert.equal(mx.received[0]?.tls, true);
  assert.equal(await briefly(), "deferred 4.7.5 network");
  assert.equal(mx.received.length, 1);
});

test("REQUIRETLS is satisfied by DANE (RFC 8689 §4.2.1)", async () => {
  const extensions = [...usualExtensions, "REQUIRETLS"];
  const good = await peer({ tls: own, extensions });
  publish(good.port, [tlsaOf(own, 3, 1, 1)]);
  const message = { requireTls: true };
  assert.equal((await send(good, { message })).brief, "delivered");
  assert.ok(good.received[0]?.mailParameters.includes("REQUIRETLS"));
  const bad = await peer({ tls: other, extensions });
  publish(bad.port, [tlsaOf(own, 3, 1, 1)]);
  assert.match((await send(bad, { message })).brief, /^rejected 5\.7\.10/);
  const unanswered = await peer({ tls: own, extensions });
  publish(unanswered.port, [], { [`_${unanswered.port}._tcp.mx.test`]: { behave: "servfail" } });
  assert.equal((await send(unanswered, { message })).brief, "deferred 4.4.3 dns");
});

/** A host with these TLSA records, in a domain with an MTA-STS policy that is enforced and lists it. */
async function sendUnderBoth(certificate: Certificate, tlsa: string[]): Promise<string[]> {
  const server = await peer({ tls: certificate });
  publish(server.port, tlsa, {
    "_mta-sts.example.test": { TXT: ["v=STSv1; id=1;"] },
    "mta-sts.example.test": { A: ["127.0.0.1"] },
  });
  const forPolicies = issuedBy(authority, { names: ["mta-sts.example.test"] });
  const policies = await startPolicyHost(forPolicies, policyText("enforce", ["mx.test"]));
  const options = { extraCa: [authority.cert], policyHosts: { port: policies.port }, mxPort: server.port };
  const { brief, last } = await send(server, { options }).finally(() => policies.stop());
  return [brief, last?.policy ?? ""];
}

test("DANE comes before MTA-STS: a failed DANE check is not saved by a policy (RFC 8461 §2)", async () => {
  const valid = issuedBy(authority, { names: ["mx.test"] });
  const sent = await sendUnderBoth(valid, [tlsaOf(other, 3, 1, 1)]);
  assert.deepEqual(sent, ["deferred 4.7.5 network", "dane"]);
});

test("DANE comes before MTA-STS: a host that passes DANE needs no authority (RFC 8461 §2)", async () => {
  assert.deepEqual(await sendUnderBoth(own, [tlsaOf(own, 3, 1, 1)]), ["delivered", "dane"]);
});

test("where the TLSA records are unusable, an enforced policy still applies (RFC 8461 §2)", async () => {
  assert.deepEqual(await sendUnderBoth(own, ["1 1 1 00"]), ["deferred 4.7.5 network", "mta-sts"]);
});
