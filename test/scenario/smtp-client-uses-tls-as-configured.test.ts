import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostTlsLevel } from "../../shared/routing/next-hop.ts";
import type { AttemptResult } from "../../shared/smtp-client/smtp-client.ts";
import { selfSignedCertificate } from "../support/certificate.ts";
import { startDnsZone } from "../support/dns-zone.ts";
import {
  attempt,
  type MessageGiven,
  relay,
  summary,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import {
  type Answer,
  close,
  hang,
  type SmtpPeer,
  type SmtpPeerOptions,
  type SmtpScript,
  startSmtpPeer,
  thenClose,
  usualExtensions,
} from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const certificate = selfSignedCertificate("mx.test");

interface Case {
  level: HostTlsLevel;
  peer?: SmtpPeerOptions;
  trusted?: boolean;
  /** The configured name of the relay host. */
  host?: string;
  auth?: { user: string; password: string };
  message?: MessageGiven;
}

async function deliver({ level, peer: given, trusted, host = "mx.test", auth, message }: Case) {
  const zone = await startDnsZone({ "mx.test": { A: ["127.0.0.1"] }, "other.test": { A: ["127.0.0.1"] } });
  const peer = await startSmtpPeer(given);
  const transport = testTransport({ dns: zone, options: trusted ? { extraCa: [certificate.cert] } : {} });
  try {
    const hop = relay({ address: host, port: peer.port }, { tls: level, ...(auth && { auth }) });
    const result = await attempt(transport, hop, testMessage(message));
    assert.ok(result.kind === "tried");
    return { peer, result, brief: summary(result.outcomes.get(0)) };
  } finally {
    await transport.close(1000);
    await Promise.all([peer.stop(), zone.stop()]);
  }
}

const lastTry = (result: Extract<AttemptResult, { kind: "tried" }>) => result.facts.tries.at(-1);
const wasTls = (peer: SmtpPeer) => peer.received.map((message) => message.tls);

test("level none never says STARTTLS", async () => {
  const { peer, brief } = await deliver({ level: "none", peer: { tls: certificate } });
  assert.equal(brief, "delivered");
  assert.deepEqual(wasTls(peer), [false]);
});

test("level may uses TLS where it is offered, with any certificate, and the log says so", async () => {
  const { peer, result } = await deliver({ level: "may", peer: { tls: certificate } });
  assert.deepEqual(wasTls(peer), [true]);
  const { tls } = lastTry(result) ?? {};
  assert.ok(tls !== undefined);
  assert.match(tls.protocol, /^TLSv1\.[23]$/);
  assert.match(tls.cipher, /^(TLS_|ECDHE)/);
  assert.deepEqual(
    { level: tls.level, peerName: tls.peerName, verified: tls.verified },
    { level: "may", peerName: "mx.test", verified: false },
  );
});

test("level may sends in clear text where TLS is not offered", async () => {
  const { peer } = await deliver({ level: "may" });
  assert.deepEqual(wasTls(peer), [false]);
});

for (const [what, answer] of [
  ["a handshake that fails", thenClose("220 go ahead")],
  ["a handshake that never ends", "220 go ahead"],
  ["421 to STARTTLS", thenClose("421 4.3.2 going down")],
] satisfies [string, Answer][]) {
  test(`level may: ${what} is followed by a fresh connection in clear text (RFC 7435)`, async () => {
    const peer = await startSmtpPeer({
      extensions: [...usualExtensions, "STARTTLS"],
      script: { starttls: () => answer },
    });
    const transport = testTransport({ config: { timeouts: { ehlo: "1s" } } });
    const result = await attempt(transport, relay(peer));
    assert.ok(result.kind === "tried");
    assert.equal(summary(result.outcomes.get(0)), "delivered");
    assert.equal(peer.connections, 2);
    assert.deepEqual(wasTls(peer), [false]);
    assert.match(lastTry(result)?.tlsFailure ?? "", /TLS/);
    await transport.close(1000);
    await peer.stop();
  });
}

for (const [what, options, closes] of [
  [
    "a client certificate is asked for, which TLS 1.3 says after the handshake",
    { needsClientCertificate: true },
    false,
  ],
  ["the connection is closed after the handshake", {}, true],
] as const) {
  test(`level may: ${what}: a fresh connection in clear text (RFC 7435)`, async () => {
    const { peer, result, brief } = await deliver({
      level: "may",
      peer: {
        tls: { ...certificate, ...options },
        script: closes ? { ehlo: dropUnderTls() } : {},
      },
    });
    assert.equal(brief, "delivered");
    assert.equal(peer.connections, 2);
    assert.deepEqual(wasTls(peer), [false]);
    assert.match(lastTry(result)?.tlsFailure ?? "", /EHLO/);
  });
}

test("level may: STARTTLS refused goes on in the same session (RFC 3207 §4.1)", async () => {
  const { peer, brief } = await deliver({
    level: "may",
    peer: { tls: certificate, script: { starttls: () => "454 4.7.0 not now" } },
  });
  assert.equal(brief, "delivered");
  assert.equal(peer.connections, 1);
});

test("level require accepts any certificate, and no session without TLS", async () => {
  const { peer } = await deliver({ level: "require", peer: { tls: certificate } });
  assert.deepEqual(wasTls(peer), [true]);
  assert.equal((await deliver({ level: "require" })).brief, "deferred 4.7.4 network");
  const refused = await deliver({
    level: "require",
    peer: { tls: certificate, script: { starttls: () => "454 4.7.0 not now" } },
  });
  assert.equal(refused.brief, "deferred 4.7.0 4xx");
  assert.equal(refused.peer.received.length, 0);
});

test("level verify wants a certificate that is valid for the host's name", async () => {
  const valid = await deliver({ level: "verify", trusted: true, peer: { tls: certificate } });
  assert.equal(valid.brief, "delivered");
  assert.equal(lastTry(valid.result)?.tls?.verified, true);
  const unknown = await deliver({ level: "verify", peer: { tls: certificate } });
  assert.equal(unknown.brief, "deferred 4.7.5 network");
  const otherName = await deliver({
    level: "verify",
    trusted: true,
    host: "other.test",
    peer: { tls: certificate },
  });
  assert.equal(otherName.brief, "deferred 4.7.5 network");
  assert.equal(otherName.peer.received.length + unknown.peer.received.length, 0);
});

test("what follows the reply to STARTTLS in clear text is an attack, and ends the session (RFC 3207 §5)", async () => {
  const script = { starttls: () => ({ do: "raw", octets: "220 go\r\n250 injected\r\n" }) as const };
  const { peer, brief } = await deliver({ level: "require", peer: { tls: certificate, script } });
  assert.equal(brief, "deferred 4.7.5 network");
  assert.equal(peer.received.length, 0);
});

test("EHLO is said again under TLS, and only the second reply counts (RFC 3207 §4.2)", async () => {
  const { peer } = await deliver({ level: "may", peer: { tls: certificate } });
  assert.deepEqual(peer.commands.slice(0, 3), [
    "1: EHLO gw.example.net",
    "1: STARTTLS",
    "1: EHLO gw.example.net",
  ]);
});

test("AUTH PLAIN, or LOGIN where the server offers no other (RFC 4954)", async () => {
  const auth = { user: "jörg", password: "pass word" };
  const users = { jörg: "pass word" };
  for (const authMechanisms of ["CRAM-MD5 PLAIN LOGIN", "LOGIN"]) {
    const { peer, brief } = await deliver({
      level: "require",
      auth,
      peer: { tls: certificate, users, authMechanisms },
    });
    assert.equal(brief, "delivered");
    assert.equal(peer.received[0]?.user, "jörg");
  }
});

test("AUTH that is refused or not offered defers the mail and sends none", async () => {
  const auth = { user: "u", password: "wrong" };
  const refused = await deliver({ level: "may", auth, peer: { users: { u: "right" } } });
  assert.equal(refused.brief, "deferred 4.7.8 5xx");
  const missing = await deliver({ level: "may", auth });
  assert.equal(missing.brief, "deferred 4.7.0 network");
  const strange = await deliver({
    level: "may",
    auth,
    peer: { users: { u: "wrong" }, authMechanisms: "GSSAPI" },
  });
  assert.equal(strange.brief, "deferred 4.7.0 network");
  for (const { peer } of [refused, missing, strange]) assert.equal(peer.received.length, 0);
});

const goingDown = "421 4.3.2 going down";

/** Answers the first EHLO of a connection, and hangs up at the second. */
function dropUnderTls(): NonNullable<SmtpScript["ehlo"]> {
  const seen = new Set<number>();
  return (_, connection) => {
    if (seen.has(connection)) return close;
    seen.add(connection);
    return undefined;
  };
}

/** Extensions in clear text, and 421 to the EHLO that is said again under TLS: the second of each connection. */
function ehloUnderTls(): SmtpScript {
  let said = 0;
  return { ehlo: () => (++said % 2 === 0 ? goingDown : undefined) };
}

for (const [what, level, script, more] of [
  ["STARTTLS", "require", { starttls: () => goingDown }, {}],
  ["EHLO under TLS", "may", ehloUnderTls(), {}],
  ["EHLO under TLS, which is required", "require", ehloUnderTls(), {}],
  ["AUTH PLAIN", "require", { auth: () => goingDown }, {}],
  ["AUTH LOGIN", "require", { challenge: () => goingDown }, { authMechanisms: "LOGIN" }],
  [
    "the name in AUTH LOGIN",
    "require",
    { challenge: (_, step) => (step === 2 ? goingDown : undefined) },
    { authMechanisms: "LOGIN" },
  ],
  ["the password in AUTH LOGIN", "require", { auth: () => goingDown }, { authMechanisms: "LOGIN" }],
] satisfies [string, HostTlsLevel, SmtpScript, SmtpPeerOptions][]) {
  test(`421 to ${what} is temporary: the connection is closed, and the next host is asked (RFC 5321 §3.8)`, async (t) => {
    const users = { u: "secret" };
    const first = await startSmtpPeer({ tls: certificate, users, script, ...more });
    const zone = await startDnsZone({ "mx.test": { A: ["127.0.0.1", "127.0.0.32"] } });
    const transport = testTransport({ dns: zone });
    t.after(async () => {
      await transport.close(1000);
      await Promise.all([first.stop(), zone.stop()]);
    });
    const hop = relay(
      { address: "mx.test", port: first.port },
      { tls: level, auth: { user: "u", password: "secret" } },
    );
    const briefly = async () => {
      const result = await attempt(transport, hop);
      return result.kind === "tried" ? summary(result.outcomes.get(0)) : result.kind;
    };
    assert.match(await briefly(), /^deferred 4\.(3\.2 4xx|4\.1 connect)$/);
    // The server keeps its end open: the client must close it.
    await waitFor("the connection to be closed", () => first.open === 0);
    assert.ok(!first.commands.some((command) => / MAIL /.test(command)));
    const second = await startSmtpPeer({ address: "127.0.0.32", port: first.port, tls: certificate, users });
    t.after(() => second.stop());
    assert.equal(await briefly(), "delivered");
    assert.equal(second.received.length, 1);
  });
}

test("421 to AUTH from the only host defers the mail with the status of the reply", async () => {
  const auth = { user: "u", password: "secret" };
  const script = { auth: () => "421 4.7.0 too many failures" };
  const { peer, brief } = await deliver({ level: "may", auth, peer: { users: { u: "secret" }, script } });
  assert.equal(brief, "deferred 4.7.0 4xx");
  assert.equal(peer.received.length, 0);
});

test("after a failed handshake the password is never sent in clear text", async () => {
  const peer = await startSmtpPeer({
    extensions: [...usualExtensions, "STARTTLS"],
    users: { u: "secret" },
    script: { starttls: (connection) => (connection === 1 ? "220 go" : hang) },
  });
  const transport = testTransport({ config: { timeouts: { ehlo: "1s" } } });
  const result = await attempt(transport, relay(peer, { auth: { user: "u", password: "secret" } }));
  assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "deferred 4.7.5 network");
  assert.ok(!peer.commands.some((command) => command.includes("AUTH")));
  await transport.close(1000);
  await peer.stop();
});

test("REQUIRETLS goes only to a verified server that offers it: else 5.7.30, without TLS 5.7.10 (RFC 8689 §4.2.1)", async () => {
  const message = { requireTls: true };
  const offering = { tls: certificate, extensions: [...usualExtensions, "REQUIRETLS"] };
  const good = await deliver({ level: "may", trusted: true, message, peer: offering });
  assert.equal(good.brief, "delivered");
  assert.ok(good.peer.received[0]?.mailParameters.includes("REQUIRETLS"));
  const bad: [string, Case][] = [
    ["5.7.10", { level: "may", message, peer: offering }],
    ["5.7.10", { level: "none", trusted: true, message, peer: { extensions: usualExtensions } }],
    [
      "5.7.10",
      { level: "may", trusted: true, message, peer: { extensions: [...usualExtensions, "REQUIRETLS"] } },
    ],
    ["5.7.30", { level: "may", trusted: true, message, peer: { tls: certificate } }],
  ];
  for (const [status, given] of bad) {
    const { brief, peer } = await deliver(given);
    assert.equal(brief, `rejected ${status} 5xx`);
    assert.equal(peer.received.length, 0);
    assert.ok(peer.commands.includes("1: QUIT"));
  }
});

test("a notification is never lost because of REQUIRETLS, and carries it where that is allowed (RFC 8689 §2, §5)", async () => {
  const message = { requireTls: true, reversePath: "" };
  const extensions = [...usualExtensions, "REQUIRETLS"];
  const notification = await deliver({
    level: "may",
    trusted: true,
    message,
    peer: { tls: certificate, extensions },
  });
  assert.equal(notification.brief, "delivered");
  assert.ok(notification.peer.received[0]?.mailParameters.includes("REQUIRETLS"));
  const untold: [string, Case][] = [
    ["not offered", { level: "may", trusted: true, message, peer: { tls: certificate } }],
    ["offered in clear text", { level: "may", message, peer: { extensions } }],
    [
      "a certificate that nobody vouches for",
      { level: "may", message, peer: { tls: certificate, extensions } },
    ],
  ];
  for (const [what, given] of untold) {
    const { brief, peer } = await deliver(given);
    assert.equal(brief, "delivered", what);
    assert.ok(!peer.received[0]?.mailParameters.includes("REQUIRETLS"), what);
  }
});

test("REQUIRETLS by MX needs a DNS answer that is validated (RFC 8689 §4.2.1)", async (t) => {
  const peer = await startSmtpPeer({ tls: certificate, extensions: [...usualExtensions, "REQUIRETLS"] });
  const records = { MX: [[10, "mx.test"]] as [number, string][] };
  const zone = await startDnsZone({
    "plain.test": records,
    "signed.test": { ...records, behave: "authenticated" },
    "mx.test": { A: ["127.0.0.1"] },
  });
  const options = { extraCa: [certificate.cert], mxPort: peer.port };
  const config = { delivery: { tls: [{ match: "*", policy: "verify" as const }] } };
  const transport = testTransport({ dns: zone, options, config });
  t.after(async () => {
    await transport.close(1000);
    await Promise.all([peer.stop(), zone.stop()]);
  });
  const send = async (domain: string, message: MessageGiven) => {
    const result = await attempt(transport, { kind: "mx", domain }, testMessage(message));
    return result.kind === "tried" ? summary(result.outcomes.get(0)) : result.kind;
  };
  const saidIt = () => peer.received.at(-1)?.mailParameters.includes("REQUIRETLS");
  // The session that other mail left open came from an answer that was not validated.
  assert.equal(await send("plain.test", {}), "delivered");
  assert.equal(await send("plain.test", { requireTls: true }), "rejected 5.7.30 dns");
  assert.equal(await send("signed.test", {}), "delivered");
  assert.equal(await send("signed.test", { requireTls: true }), "delivered");
  assert.equal(saidIt(), true);
  const notification = { requireTls: true, reversePath: "" };
  assert.equal(await send("plain.test", notification), "delivered");
  assert.equal(saidIt(), false);
  assert.equal(await send("signed.test", notification), "delivered");
  assert.equal(saidIt(), true);
});

test("a host that a route names has the TLS level of delivery.tls", async () => {
  const peer = await startSmtpPeer();
  const transport = testTransport({
    config: { delivery: { tls: [{ match: peer.address, policy: "require" }] } },
  });
  const result = await attempt(transport, via(peer));
  assert.ok(result.kind === "tried");
  assert.equal(summary(result.outcomes.get(0)), "deferred 4.7.4 network");
  await transport.close(1000);
  await peer.stop();
});
