import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Batch,
  batchLimit,
  exceeds,
  inBatches,
  loadOf,
  plus,
} from "../../../shared/queue/contract/batches.ts";
import type { Producer } from "../../../shared/queue/contract/queue.ts";
import { createPublisher } from "../../../shared/queue/publisher.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import type { StoredMessage } from "../../../shared/spool/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { storedMessage } from "./stored-message.ts";

const log = createLogger("test", { write() {} });
const thousand = Array.from({ length: 1_000 }, (_, i) => `user${i}@domain-${i}.example.com`);

type Added = Parameters<Producer["addDeliveries"]>[0];

function manyJobs(): StoredMessage {
  return storedMessage({ to: thousand });
}

test("messages with a thousand next hops go to Redis a thousand jobs at a time", async (t) => {
  const calls: Added[] = [];
  const publisher = createPublisher(
    { addDeliveries: async (messages) => void calls.push(messages), requestScan: async () => {} },
    log,
  );
  t.after(() => publisher.close(0));
  for (let i = 0; i < 20; i++) publisher.publish(manyJobs(), []);
  for (let i = 0; i < 2_000; i++) publisher.publish(storedMessage({}), []);
  await waitFor("all are enqueued", () => publisher.backlog === 0);
  const jobs = calls.map((call) => call.reduce((sum, { message }) => sum + message.meta.parts.length, 0));
  assert.equal(Math.max(...jobs), 1_000);
  assert.equal(calls.length, 22);
});

test("messages to a thousand recipients each do not fill the memory while Redis is away", async (t) => {
  const away = async (): Promise<never> => Promise.reject(new Error("away"));
  const oneNextHop = storedMessage({ to: thousand, parts: [[...thousand.keys()]] });
  for (const [message, most] of [
    [manyJobs(), { jobs: 50_000, octets: 64 * 2 ** 20 }],
    [oneNextHop, { jobs: 50_000, octets: 64 * 2 ** 20 }],
  ] as const) {
    const publisher = createPublisher({ addDeliveries: away, requestScan: away }, log);
    t.after(() => publisher.close(0));
    for (let i = 0; i < 2_000; i++) publisher.publish(message, []);
    const each = loadOf(message);
    const load = { jobs: publisher.backlog * each.jobs, octets: publisher.backlog * each.octets };
    assert.ok(!exceeds(load, most), `${JSON.stringify(load)} wait`);
    assert.ok(exceeds(plus(load, each), most), `only ${JSON.stringify(load)} wait`);
  }
});

test("what waits while Redis is away counts as known to the workers, until all of it is enqueued", async (t) => {
  const calls: Added[] = [];
  let isAway = true;
  const publisher = createPublisher(
    {
      async addDeliveries(messages) {
        if (isAway) throw new Error("away");
        calls.push(messages);
        // Accepted while the backlog is being enqueued: the reconciler compares the queues with the spool meanwhile.
        if (calls.length === 1) publisher.publish(storedMessage({ from: "during@example.com" }), []);
      },
      requestScan: async () => {},
    },
    log,
  );
  t.after(() => publisher.close(0));
  for (let i = 0; i < 1_500; i++) publisher.publish(storedMessage({}), []);
  await waitFor("a call fails", () => publisher.backlog === 1_500);
  await new Promise((resolve) => setImmediate(resolve));
  isAway = false;
  await waitFor("all are enqueued", () => publisher.backlog === 0);
  const all = calls.flat();
  assert.equal(all.length, 1_501);
  assert.deepEqual(
    all.filter(({ redelivery }) => redelivery !== true),
    [],
  );
  publisher.publish(storedMessage({ from: "after@example.com" }), []);
  await waitFor("it is enqueued", () => publisher.backlog === 0);
  assert.deepEqual(
    calls.at(-1)?.map(({ message, redelivery }) => [message.meta.envelope.reversePath, redelivery]),
    [["after@example.com", false]],
  );
});

test("a batch ends before its limit of jobs or octets, and takes at least one item", () => {
  const batch = new Batch<string>({ jobs: 3, octets: 100 });
  assert.equal(batch.add("large", { jobs: 9, octets: 900 }), true);
  assert.equal(batch.add("small", { jobs: 1, octets: 1 }), false);
  assert.deepEqual(batch.take(), ["large"]);
  assert.deepEqual(
    [
      batch.add("a", { jobs: 2, octets: 50 }),
      batch.add("b", { jobs: 1, octets: 51 }),
      batch.add("c", { jobs: 2, octets: 1 }),
      batch.add("d", { jobs: 1, octets: 50 }),
    ],
    [true, false, false, true],
  );
  assert.deepEqual([batch.take(), batch.isEmpty], [["a", "d"], true]);
  const half = batchLimit.octets / 2;
  assert.deepEqual([...inBatches([half, half, 1], (octets) => ({ jobs: 1, octets }))], [[half, half], [1]]);
});
