import assert from "node:assert/strict";
import { test } from "node:test";
import { attempt, servers, summary, testMessage, testTransport } from "../support/smtp-client-fixture.ts";
import {
  type Answer,
  close,
  hang,
  reset,
  type SmtpPeer,
  type SmtpScript,
  startSmtpPeer,
  thenClose,
} from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

interface Result {
  first: SmtpPeer;
  second: SmtpPeer;
  outcomes: string[];
}

/** Delivers over two servers in order; the second accepts everything, or follows its own script. */
async function deliver(
  script: SmtpScript,
  other: SmtpScript = {},
  to = ["bob@example.org"],
  timeouts = {},
): Promise<Result> {
  const first = await startSmtpPeer({ script });
  const second = await startSmtpPeer({ script: other });
  const transport = testTransport({ config: { timeouts } });
  try {
    const result = await attempt(transport, servers(first, second), testMessage({ to }));
    assert.ok(result.kind === "tried");
    return { first, second, outcomes: to.map((_, i) => summary(result.outcomes.get(i))) };
  } finally {
    await transport.close(1000);
    await Promise.all([first.stop(), second.stop()]);
  }
}

const refusals: [string, SmtpScript][] = [
  ["a 4xx greeting", { connect: () => "421 4.3.2 busy" }],
  ["a 5xx greeting", { connect: () => "554 5.7.1 not you" }],
  ["a greeting that does not come", { connect: () => hang }],
  ["a greeting that is no SMTP", { connect: () => "SSH-2.0-OpenSSH_9.2" }],
  ["a connection closed before the greeting", { connect: () => close }],
  ["a connection reset before the greeting", { connect: () => reset }],
  ["EHLO and HELO refused", { ehlo: () => "550 5.7.1 no", helo: () => "550 5.7.1 no" }],
  ["4xx to EHLO", { ehlo: () => "450 4.3.2 later" }],
  ["421 to EHLO", { ehlo: () => thenClose("421 4.3.2 going down") }],
  ["421 to HELO", { ehlo: () => "502 5.5.1 what?", helo: () => thenClose("421 4.3.2 going down") }],
  ["no answer to EHLO", { ehlo: () => hang }],
  ["4xx to MAIL", { mail: () => "451 4.7.1 greylisted" }],
  ["421 to MAIL", { mail: () => thenClose("421 4.3.2 going down") }],
  ["a connection lost at MAIL", { mail: () => reset }],
  ["no answer to MAIL", { mail: () => hang }],
  ["4xx to RCPT", { rcpt: () => "450 4.2.1 later" }],
  ["421 to RCPT", { rcpt: () => thenClose("421 4.3.2 going down") }],
  ["a connection lost at RCPT", { rcpt: () => close }],
  ["4xx to DATA", { data: () => "451 4.3.0 later" }],
  ["421 to DATA", { data: () => thenClose("421 4.3.2 going down") }],
  ["421 in the middle of the message", { body: () => thenClose("421 4.3.2 going down") }],
  ["421 to the message", { message: () => thenClose("421 4.3.2 going down") }],
  ["2xx to DATA", { data: () => "250 fine" }],
  ["4xx to the message", { message: () => "451 4.3.0 scanner is down" }],
];

for (const [what, script] of refusals) {
  test(`${what} leaves the mail to the next host (RFC 5321 §5.1)`, async () => {
    const isWaitedFor = /^no answer|does not come$/.test(what);
    const timeouts = isWaitedFor ? { greeting: "1s", ehlo: "1s", mail: "1s" } : {};
    const { second, outcomes } = await deliver(script, {}, ["bob@example.org"], timeouts);
    assert.deepEqual(outcomes, ["delivered"]);
    assert.equal(second.received.length, 1);
  });
}

const bye = "421 4.3.2 going down";

for (const [what, script] of [
  ["the connection", { connect: () => bye }],
  ["EHLO", { ehlo: () => bye }],
  ["HELO", { ehlo: () => "502 5.5.1 what?", helo: () => bye }],
  ["MAIL", { mail: () => bye }],
  ["RCPT", { rcpt: () => bye }],
  ["DATA", { data: () => bye }],
  ["the middle of the message", { body: () => bye }],
  ["the message", { message: () => bye }],
] satisfies [string, SmtpScript][]) {
  test(`after 421 to ${what} the connection is closed, though the server keeps its end open (RFC 5321 §3.8)`, async (t) => {
    const peer = await startSmtpPeer({ script });
    // The clock stands still, so that no connection ends for being idle.
    const transport = testTransport({ options: { now: () => 1_700_000_000_000 } });
    t.after(async () => {
      await transport.close(1000);
      await peer.stop();
    });
    const result = await attempt(transport, servers(peer));
    assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "deferred 4.3.2 4xx");
    await waitFor("the connection to be closed", () => peer.open === 0);
    assert.equal(peer.connections, 1);
  });
}

const answers: [string, SmtpScript, string][] = [
  ["5xx to MAIL", { mail: () => "550 5.7.1 bad sender" }, "rejected 5.7.1 5xx"],
  ["5xx to RCPT", { rcpt: () => "550 5.1.1 no such user" }, "rejected 5.1.1 5xx"],
  ["5xx to DATA", { data: () => "554 5.7.1 no" }, "rejected 5.7.1 5xx"],
  ["5xx to the message", { message: () => "550 5.7.26 spam" }, "rejected 5.7.26 5xx"],
];

for (const [what, script, expected] of answers) {
  test(`${what} is the outcome, and no other host is asked`, async () => {
    const { second, outcomes } = await deliver(script);
    assert.deepEqual(outcomes, [expected]);
    assert.equal(second.connections, 0);
  });
}

test("the next host gets only the recipients without a final answer", async () => {
  const script = {
    rcpt: (address: string): Answer | undefined =>
      address.startsWith("later")
        ? "450 4.2.1 later"
        : address.startsWith("never")
          ? "550 5.1.1 no"
          : undefined,
  };
  const to = ["now@x.test", "later@x.test", "never@x.test"];
  const { first, second, outcomes } = await deliver(script, {}, to);
  assert.deepEqual(outcomes, ["delivered", "delivered", "rejected 5.1.1 5xx"]);
  assert.deepEqual(
    first.received[0]?.to.map(({ address }) => address),
    ["now@x.test"],
  );
  assert.deepEqual(
    second.received[0]?.to.map(({ address }) => address),
    ["later@x.test"],
  );
});

test("when all hosts refuse the session, the mail is deferred, though they say 5xx", async () => {
  const refuse = { connect: () => "554 5.7.1 not you" };
  assert.deepEqual((await deliver(refuse, refuse)).outcomes, ["deferred 4.7.1 5xx"]);
});

test("when all hosts say 521, the mail is rejected (RFC 7504 §3)", async () => {
  const never = { connect: () => "521 no mail here" };
  assert.deepEqual((await deliver(never, never)).outcomes, ["rejected 5.3.2 5xx"]);
  // A host that cannot be asked may be the one that accepts mail.
  assert.deepEqual((await deliver({ connect: () => close }, never)).outcomes, ["deferred 4.4.2 network"]);
});

test("a host without a listener is diagnosed as connect 4.4.1", async () => {
  const gone = await startSmtpPeer();
  await gone.stop();
  const transport = testTransport();
  const result = await attempt(transport, servers(gone));
  assert.ok(result.kind === "tried");
  const outcome = result.outcomes.get(0);
  assert.equal(summary(outcome), "deferred 4.4.1 connect");
  assert.ok(outcome?.kind === "deferred" && /connection refused/.test(outcome.diagnosis.reason));
  await transport.close(1000);
});

test("the message is sent to two hosts at most, though more are there and all say 451 to it (RFC 5321 §5.1)", async (t) => {
  const peers = await Promise.all(
    Array.from({ length: 4 }, () => startSmtpPeer({ script: { message: () => "451 4.7.1 try later" } })),
  );
  const transport = testTransport();
  t.after(async () => {
    await transport.close(1000);
    await Promise.all(peers.map((peer) => peer.stop()));
  });
  const result = await attempt(transport, servers(...peers));
  assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "deferred 4.7.1 4xx");
  assert.deepEqual(
    peers.map(({ connections }) => connections),
    [1, 1, 0, 0],
  );
});

test("hosts that do not get as far as MAIL do not count: the third has the mail", async (t) => {
  const scripts: SmtpScript[] = [{ connect: () => "421 4.3.2 busy" }, { ehlo: () => "450 4.3.2 later" }, {}];
  const peers = await Promise.all(scripts.map((script) => startSmtpPeer({ script })));
  const transport = testTransport();
  t.after(async () => {
    await transport.close(1000);
    await Promise.all(peers.map((peer) => peer.stop()));
  });
  const result = await attempt(transport, servers(...peers));
  assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "delivered");
});

test("a server's reply is the outcome, though another address could not be reached after it", async () => {
  const gone = await startSmtpPeer();
  await gone.stop();
  const greylisting = await startSmtpPeer({ script: { rcpt: () => "450 4.7.1 greylisted" } });
  const transport = testTransport();
  const result = await attempt(transport, servers(greylisting, gone));
  assert.ok(result.kind === "tried");
  const outcome = result.outcomes.get(0);
  assert.equal(summary(outcome), "deferred 4.7.1 4xx");
  assert.ok(outcome?.kind === "deferred" && outcome.diagnosis.reply?.code === 450);
  await transport.close(1000);
  await greylisting.stop();
});
