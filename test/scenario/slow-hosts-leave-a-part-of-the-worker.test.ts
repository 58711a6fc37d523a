import assert from "node:assert/strict";
import { test } from "node:test";
import type { PriorityClass } from "../../shared/limits/priority-class.ts";
import { attempt, summary, testMessage, testTransport, via } from "../support/smtp-client-fixture.ts";
import { hang, type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("hosts that hang, however many, leave a part of a worker to those that have been quick", async (t) => {
  const priorityClass: PriorityClass = { name: "delivery", jobs: 8, isSlow: false };
  const good = await startSmtpPeer();
  const slow = await Promise.all(
    Array.from({ length: 10 }, (_, n) =>
      startSmtpPeer({ address: `127.0.0.${10 + n}`, script: { mail: () => hang } }),
    ),
  );
  const transport = testTransport();
  t.after(async () => {
    await transport.close(0);
    for (const peer of [good, ...slow]) await peer.stop();
  });
  const stop = new AbortController();
  const send = (peer: SmtpPeer) => attempt(transport, via(peer), testMessage(), stop.signal, priorityClass);
  assert.equal((await send(good)).kind, "tried");
  let full = 0;
  const hanging = slow.map(send);
  for (const one of hanging) void one.then(({ kind }) => kind === "full" && full++);
  await waitFor("six to hang, and the others to come back later", () => full === 4);
  await waitFor("the six connections to be open", () => slow.filter(({ open }) => open > 0).length === 6);
  const result = await send(good);
  assert.equal(result.kind === "tried" && summary(result.outcomes.get(0)), "delivered");
  stop.abort();
  await Promise.all(hanging);
});
