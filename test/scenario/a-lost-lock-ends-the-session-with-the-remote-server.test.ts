/** A worker loses its job to another one while the remote server thinks about the message: one lets go, the other delivers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("a worker whose job was taken away closes its session; the new owner delivers the message, once", async (t) => {
  const dots: number[] = [];
  let accept: () => void = () => {};
  const accepted = new Promise<void>((resolve) => {
    accept = resolve;
  });
  const remote = await startSmtpPeer({
    script: {
      async message({ connection }) {
        dots.push(connection);
        // The first one never hears what becomes of its message.
        await (connection === 1 ? new Promise(() => {}) : accepted);
        return undefined;
      },
    },
  });
  t.after(() => remote.stop());
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*", via: `127.0.0.1:${remote.port}` }] },
    // Much later than anything here.
    queue: { retry: ["1h"], delay_warning: 0 },
    timeouts: { dot: "1h" },
    // The first worker has its hands full: what is taken away from it cannot come back to it.
    delivery: { concurrency: 1 },
  });
  const eventsOf = (worker: string, event: string) =>
    flow.events.filter((line) => line.worker === worker && line.event === event);

  await flow.startDelivery({
    name: "first",
    workerTiming: { lockMs: 3_000, stalledCheckMs: 100, epochCheckMs: 600_000, reclaimMs: 500 },
  });
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  await waitFor("the first worker to have said the final dot", () => dots.length === 1);

  await flow.startDelivery({
    name: "second",
    workerTiming: { lockMs: 30_000, stalledCheckMs: 100, epochCheckMs: 600_000, reclaimMs: 500 },
  });
  const job = `{postern}:delivery:${meta.id}-0`;
  const token = await flow.redis.command(`GET ${job}:lock`);
  await waitFor("the second worker to have taken the job", async () => {
    // As after a pause in which the lock ran out. The first worker takes a free lock again when it comes to renew it.
    if ((await flow.redis.command(`GET ${job}:lock`)) === token) await flow.redis.command(`DEL ${job}:lock`);
    return dots.length === 2;
  });
  assert.deepEqual(dots, [1, 2]);

  await waitFor("the first session to be closed", () => remote.open === 1);
  // The remote server has both copies whole, and has answered for neither.
  assert.deepEqual(
    (await flow.kinds(meta.id)).filter((kind) => kind !== "pending"),
    [],
  );
  assert.deepEqual(eventsOf("first", "delivery.delivered"), []);
  assert.equal(remote.received.length, 0);

  accept();
  await waitFor("it to be settled", async () => (await flow.kinds(meta.id)).join() === "delivered");
  await waitFor("the job to be gone", async () => (await flow.redis.command(`EXISTS ${job}`)) === ":0\r\n");
  assert.deepEqual(
    remote.received.map(({ connection, to }) => [connection, to.map(({ address }) => address)]),
    [[2, ["bob@example.com"]]],
  );
  assert.equal(remote.connections, 2);
  assert.equal(eventsOf("second", "delivery.delivered").length, 1);
  // An interruption is no attempt: it leaves neither an outcome nor a place in the schedule behind.
  for (const event of ["delivery.delivered", "delivery.deferred", "delivery.rejected", "message.settled"])
    assert.deepEqual(eventsOf("first", event), [], event);
});
