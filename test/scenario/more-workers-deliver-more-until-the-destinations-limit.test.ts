import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const messages = 40;
const limit = 8;
/** Of six attempts at once for fresh mail, one destination has half. */
const eachWorker = 3;

test("each worker that is added delivers as many messages at once, until the destination's limit is reached", async (t) => {
  const held: (() => void)[] = [];
  let isHeld = true;
  let most = 0;
  const script = {
    message: () => {
      most = Math.max(most, peer.open);
      return isHeld ? new Promise<undefined>((resolve) => held.push(() => resolve(undefined))) : undefined;
    },
  };
  const peer = await startSmtpPeer({ script });
  t.after(() => peer.stop());
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*", via: `${peer.address}:${peer.port}` }] },
    limits: { destinations: [{ match: "*", connections: limit }] },
    delivery: { concurrency: 8 },
  });
  for (let n = 0; n < messages; n++) await flow.accept({ to: [`user${n}@example.org`] });

  for (const underWay of [eachWorker, 2 * eachWorker, limit]) {
    await flow.startDelivery();
    await waitFor(`${underWay} under way`, () => held.length === underWay);
  }
  // A worker that finds no connection left waits for its share.
  await flow.startDelivery();
  isHeld = false;
  for (const go of held) go();
  await waitFor("all mail arrives", () => peer.received.length === messages);
  assert.ok(most <= limit, `${most} connections at once`);
});
