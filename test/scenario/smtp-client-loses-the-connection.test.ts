import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import {
  attempt,
  outcomes,
  servers,
  summary,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import { type Answer, close, deaf, hang, reset, type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const longLine = `${"x".repeat(998)}\r\n`;
async function withPeers(
  script: Parameters<typeof startSmtpPeer>[0],
  run: (first: SmtpPeer, second: SmtpPeer) => Promise<void>,
): Promise<void> {
  const first = await startSmtpPeer(script);
  const second = await startSmtpPeer();
  try {
    await run(first, second);
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
}

function possiblyDelivered(outcome: Outcome | undefined): boolean {
  return outcome?.kind === "deferred" && outcome.diagnosis.possiblyDelivered === true;
}

for (const [how, answer] of [
  ["closed", close],
  ["reset", reset],
  ["silent", hang],
  ["cut in the middle of a reply", { do: "raw", octets: "250 2.0.0 que" }],
  ["answering nonsense", { do: "raw", octets: "what?\r\n" }],
] satisfies [string, Answer][]) {
  test(`a connection ${how} after the final dot is deferred as possibly delivered, and no other host is tried (RFC 1047)`, async () => {
    await withPeers({ script: { message: () => answer } }, async (first, second) => {
      const transport = testTransport({ config: { timeouts: { dot: "200ms" } } });
      const [outcome] = await outcomes(transport, servers(first, second));
      assert.equal(outcome?.kind, "deferred");
      assert.ok(possiblyDelivered(outcome));
      assert.equal(second.connections, 0);
      await transport.close(1000);
    });
  });
}

test("a connection lost before the final dot is not possibly delivered: the next host is tried", async () => {
  const content = Buffer.alloc(8 * 1024 * 1024, longLine);
  await withPeers({ script: { body: () => reset } }, async (first, second) => {
    const transport = testTransport();
    const message = testMessage({ content });
    const [alone] = await outcomes(transport, via(first), message);
    assert.equal(summary(alone), "deferred 4.4.2 network");
    assert.ok(!possiblyDelivered(alone));
    const [outcome] = await outcomes(transport, servers(first, second), message);
    assert.equal(outcome?.kind, "delivered");
    await transport.close(1000);
  });
});

test("a refusal in the middle of the message is its outcome, and the rest is not sent", async () => {
  const content = Buffer.alloc(16 * 1024 * 1024, longLine);
  const script = { body: () => ({ do: "raw", octets: "552 5.3.4 too big for me\r\n" }) as const };
  await withPeers({ script }, async (first, second) => {
    const transport = testTransport();
    const [outcome] = await outcomes(transport, servers(first, second), testMessage({ content }));
    assert.equal(summary(outcome), "rejected 5.3.4 5xx");
    assert.equal(first.received.length, 0);
    assert.equal(second.connections, 0);
    await transport.close(1000);
  });
});

test("a server that takes no more data is given up after the time for one block (RFC 5321 §4.5.3.2.5)", async () => {
  const content = Buffer.alloc(32 * 1024 * 1024, longLine);
  const peer = await startSmtpPeer({ script: { body: () => deaf } });
  const transport = testTransport({ config: { timeouts: { body: "200ms" } } });
  const [outcome] = await outcomes(transport, via(peer), testMessage({ content }));
  assert.equal(summary(outcome), "deferred 4.4.2 network");
  assert.ok(outcome?.kind === "deferred" && /took no data/.test(outcome.diagnosis.reason));
  assert.ok(!possiblyDelivered(outcome));
  await transport.close(1000);
  await peer.stop();
});

for (const [command, script, timeout] of [
  ["the connection", { connect: () => hang }, "greeting"],
  ["EHLO", { ehlo: () => hang }, "ehlo"],
  ["MAIL", { mail: () => hang }, "mail"],
  ["RCPT", { rcpt: () => hang }, "rcpt"],
  ["DATA", { data: () => hang }, "data"],
  ["the end of the message", { message: () => hang }, "dot"],
] as const) {
  test(`no reply to ${command} in time ends the attempt, and the reason names it (RFC 5321 §4.5.3.2)`, async () => {
    await withPeers({ script }, async (first) => {
      const transport = testTransport({ config: { timeouts: { [timeout]: "200ms" } } });
      const [outcome] = await outcomes(transport, via(first));
      assert.equal(summary(outcome), "deferred 4.4.2 network");
      assert.ok(outcome?.kind === "deferred");
      assert.match(outcome.diagnosis.reason, new RegExp(`no reply to ${command}.* within 200 ms`));
      await transport.close(1000);
    });
  });
}

test("a reply that drips in does not stretch the time-out", async () => {
  await withPeers(
    { script: { mail: () => ({ do: "drip", everyMs: 50, octets: "250-x\r\n" }) } },
    async (first) => {
      const transport = testTransport({ config: { timeouts: { mail: "300ms" } } });
      const [outcome] = await outcomes(transport, via(first));
      assert.equal(summary(outcome), "deferred 4.4.2 network");
      await transport.close(1000);
    },
  );
});

test("aborting ends the attempt at once, closes the connection and defers unanswered recipients", async () => {
  await withPeers({ script: { message: () => hang } }, async (first, second) => {
    const transport = testTransport({ config: { timeouts: { dot: "60s" } } });
    const abort = new AbortController();
    const running = attempt(transport, servers(first, second), testMessage(), abort.signal);
    await waitFor("the data is sent", () => first.commands.includes("1: DATA"));
    abort.abort();
    const result = await running;
    assert.ok(result.kind === "tried");
    assert.equal(result.outcomes.get(0)?.kind, "deferred");
    await waitFor("the connection is closed", () => first.open === 0);
    assert.equal(second.connections, 0);
    await transport.close(1000);
  });
});

test("a stop ends an attempt before the final dot at once; behind it the server keeps its time to reply", async () => {
  let accept: (() => void) | undefined;
  const thinking = {
    message: () =>
      new Promise<undefined>((resolve) => {
        accept = () => resolve(undefined);
      }),
  };
  await withPeers({ script: thinking }, async (first, second) => {
    const slow = await startSmtpPeer({ script: { mail: () => hang } });
    const transport = testTransport({ config: { timeouts: { dot: "60s", mail: "60s" } } });
    const stopping = new AbortController();
    const sent = attempt(transport, servers(first, second), testMessage(), stopping.signal);
    const unsent = attempt(transport, servers(slow, second), testMessage(), stopping.signal);
    await waitFor("one message to be sent, and the other begun", () => accept && slow.commands.length === 2);
    stopping.abort("stopping");
    const cut = await unsent;
    assert.equal(cut.kind === "tried" && summary(cut.outcomes.get(0)), "deferred 4.3.2 local");
    accept?.();
    const result = await sent;
    assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "delivered");
    assert.equal(second.connections, 0);
    await transport.close(1000);
    await slow.stop();
  });
});

test("an attempt that is late ends wherever it is, except behind the final dot", async () => {
  let accept: (() => void) | undefined;
  const thinking = {
    message: () =>
      new Promise<undefined>((resolve) => {
        accept = () => resolve(undefined);
      }),
  };
  await withPeers({ script: thinking }, async (first, second) => {
    const slow = await startSmtpPeer({ script: { mail: () => hang } });
    const transport = testTransport({ config: { timeouts: { dot: "60s", mail: "60s", attempt: "500ms" } } });
    const sent = attempt(transport, servers(first, second));
    await waitFor("the message to be sent", () => accept);
    // It began later: when it is late, the other is too.
    const late = await attempt(transport, servers(slow, second));
    assert.ok(late.kind === "tried");
    const outcome = late.outcomes.get(0);
    assert.equal(summary(outcome), "deferred 4.4.2 network");
    assert.ok(
      outcome?.kind === "deferred" && /the attempt took longer than 500 ms/.test(outcome.diagnosis.reason),
    );
    accept?.();
    const result = await sent;
    assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "delivered");
    assert.equal(second.connections, 0, "no other host is asked after that");
    await transport.close(1000);
    await slow.stop();
  });
});

test("a late attempt that had no answer at all leaves the destination dead", async () => {
  await withPeers({ script: { connect: () => hang } }, async (first) => {
    const transport = testTransport({ config: { timeouts: { greeting: "60s", attempt: "200ms" } } });
    const [outcome] = await outcomes(transport, via(first));
    assert.equal(summary(outcome), "deferred 4.4.2 network");
    const again = await attempt(transport, via(first));
    assert.ok(again.kind === "tried" && again.facts.remembered);
    await transport.close(1000);
  });
});

test("an attempt that is aborted while connecting ends at once", async () => {
  // TEST-NET-1 has no hosts; where the network reports that at once, the attempt ends at once too.
  const transport = testTransport({ config: { timeouts: { connect: "60s" } } });
  const abort = new AbortController();
  const running = attempt(transport, via({ address: "192.0.2.1", port: 25 }), testMessage(), abort.signal);
  setImmediate(() => abort.abort());
  const result = await running;
  assert.equal(result.kind === "tried" && result.outcomes.get(0)?.kind, "deferred");
  await transport.close(1000);
});

test("close() lets a transaction finish within the grace time, and cuts it off after", async () => {
  let answer: ((reply: string) => void) | undefined;
  const script = {
    message: () =>
      new Promise<string>((resolve) => {
        answer = resolve;
      }),
  };
  await withPeers({ script }, async (first) => {
    const patient = testTransport({ config: { timeouts: { dot: "60s" } } });
    const finishing = attempt(patient, via(first));
    const say = await waitFor("the data is sent", () => answer);
    const closing = patient.close(60_000);
    say("250 2.0.0 ok");
    const result = await finishing;
    assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "delivered");
    await closing;
    assert.ok(first.commands.includes("1: QUIT"));

    const hasty = testTransport({ config: { timeouts: { dot: "60s" } } });
    answer = undefined;
    const cut = attempt(hasty, via(first));
    await waitFor("the data is sent", () => answer);
    await hasty.close(50);
    const second = await cut;
    assert.ok(second.kind === "tried" && possiblyDelivered(second.outcomes.get(0)));
    const late = await attempt(hasty, via(first));
    assert.equal(late.kind, "full", "nothing is begun after close()");
  });
});
