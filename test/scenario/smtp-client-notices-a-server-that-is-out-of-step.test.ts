/** Servers whose replies do not fit the commands: no recipient is bounced for what was said about another one. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { outcomes, servers, summary, testMessage, testTransport } from "../support/smtp-client-fixture.ts";
import { type Answer, type SmtpScript, startSmtpPeer, usualExtensions } from "../support/smtp-peer.ts";

const outOfStep = "deferred 4.5.0 network";
const oneByOne = usualExtensions.filter((keyword) => keyword !== "PIPELINING");
const raw = (octets: string): Answer => ({ do: "raw", octets });
const ehloReply = (extensions: readonly string[]) =>
  `250-peer.test\r\n${extensions.map((keyword) => `250-${keyword}\r\n`).join("")}250 HELP\r\n`;

async function deliver(t: TestContext, script: SmtpScript, to: string[], extensions = usualExtensions) {
  const peer = await startSmtpPeer({
    extensions,
    script: {
      rcpt: (address) => (address.startsWith("no") ? "550 5.1.1 no such user" : undefined),
      ...script,
    },
  });
  const transport = testTransport();
  t.after(async () => {
    await transport.close(1000);
    await peer.stop();
  });
  const found = await outcomes(transport, servers(peer), testMessage({ to }));
  return { peer, found: found.map(summary) };
}

for (const [how, extensions] of [
  ["pipelining", usualExtensions],
  ["one command at a time", oneByOne],
] as const) {
  test(`a greeting of two lines without a dash defers the mail: nobody is bounced for another's 550 (${how})`, async (t) => {
    const script = { connect: () => raw("220 peer.test\r\n220 welcome\r\n") };
    const { peer, found } = await deliver(t, script, ["no@x.test", "yes@x.test"], [...extensions]);
    assert.deepEqual(found, [outOfStep, outOfStep]);
    assert.ok(!peer.commands.some((line) => /EHLO|MAIL/.test(line)));
  });

  test(`so does a second line of the greeting that comes only after our EHLO (${how})`, async (t) => {
    const script = { ehlo: () => raw(`220 welcome\r\n${ehloReply(extensions)}`) };
    const { peer, found } = await deliver(t, script, ["no@x.test", "yes@x.test"], [...extensions]);
    assert.deepEqual(found, [outOfStep, outOfStep]);
    assert.ok(!peer.commands.some((line) => / HELO|MAIL/.test(line)));
  });

  test(`a stray reply behind that to EHLO is not taken for the answer to MAIL (${how})`, async (t) => {
    const script = { ehlo: () => raw(`${ehloReply(extensions)}250 stray\r\n`) };
    const { peer, found } = await deliver(t, script, ["no@x.test", "yes@x.test"], [...extensions]);
    assert.deepEqual(found, [outOfStep, outOfStep]);
    assert.ok(!peer.commands.some((line) => line.includes("MAIL")));
  });

  test(`421 that nobody asked for is what it is: the server goes away (${how}, RFC 5321 §3.8)`, async (t) => {
    const script = { ehlo: () => raw(`${ehloReply(extensions)}421 4.3.2 going down\r\n`) };
    const { found } = await deliver(t, script, ["yes@x.test"], [...extensions]);
    assert.deepEqual(found, ["deferred 4.3.2 4xx"]);
  });

  // The stray reply is read for the answer to the first RCPT, and every other moves on by one.
  test(`a stray refusal among the replies to the envelope bounces nobody (${how})`, async (t) => {
    const script = { mail: () => raw("250 2.1.0 ok\r\n550 5.1.1 stray\r\n") };
    const { peer, found } = await deliver(t, script, ["a@x.test", "b@x.test"], [...extensions]);
    assert.deepEqual(found, [outOfStep, outOfStep]);
    assert.deepEqual(peer.received, []);
  });
}

test("a stray acceptance does not bounce the recipient behind a refused one", async (t) => {
  const script = { mail: () => raw("250 2.1.0 ok\r\n250 stray\r\n") };
  const { found } = await deliver(t, script, ["no@x.test", "yes@x.test"]);
  assert.deepEqual(found, [outOfStep, outOfStep]);
});

test("a refusal that is read for the answer to DATA bounces nobody: the answer to RSET shows what it was", async (t) => {
  const script = { mail: () => raw("250 2.1.0 ok\r\n250 stray\r\n") };
  const { peer, found } = await deliver(t, script, ["yes@x.test", "no@x.test"]);
  assert.deepEqual(found, [outOfStep, outOfStep]);
  assert.deepEqual(peer.received, []);
});

test("a stray refusal of the sender bounces nobody", async (t) => {
  const script = { mail: () => raw("550 5.7.1 stray\r\n250 2.1.0 ok\r\n") };
  const { found } = await deliver(t, script, ["yes@x.test", "yes-too@x.test"]);
  assert.deepEqual(found, [outOfStep, outOfStep]);
});

test("refusals are believed once DATA has its 354: only DATA is answered so", async (t) => {
  const script: SmtpScript = { message: () => "354 again?" };
  const { found } = await deliver(t, script, ["no@x.test", "yes@x.test"]);
  assert.deepEqual(found, ["rejected 5.1.1 5xx", outOfStep]);
});
