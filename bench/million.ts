/** A million deferred messages: their memory in Redis, the speed of the queue beside them, and the time to restore them when Redis is emptied. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { consumeDeliveries } from "../shared/queue/consumer.ts";
import type { JobNext } from "../shared/queue/contract/queue.ts";
import { createProducer, type QueueProducer } from "../shared/queue/producer.ts";
import { createReconciler } from "../shared/queue/reconcile/reconciler.ts";
import { createFsSpool } from "../shared/spool/fs/fs-spool.ts";
import type { Spool, StoredMessage } from "../shared/spool/spool.ts";
import { testConfig } from "../test/support/config.ts";
import { startRedis, type TestRedis } from "../test/support/redis.ts";
import { waitFor } from "../test/support/wait-for.ts";
import type { BenchOptions } from "./options.ts";
import { storeMessages } from "./peers/stored-messages.ts";
import type { Row, Section } from "./report.ts";

const log = pino({ level: "error" });
const sampleSize = 20_000;
const batch = 1000;
const route = { label: "relay via mx bench.example", aliases: ["bench.example"] };
const domain = "example.com";
const octets = 200;

/** A queue in a Redis of its own. */
interface Queue {
  redis: TestRedis;
  producer: QueueProducer;
}

async function startQueue(): Promise<Queue> {
  const redis = await startRedis();
  // The settings of `postern up` and deploy/redis.conf.
  await redis.command("CONFIG SET hash-max-listpack-value 2048");
  return { redis, producer: createProducer({ url: redis.url }, log) };
}

export async function million({ rounds, scale, say }: BenchOptions): Promise<Section> {
  const counts = { few: 1000, many: Math.round(1_000_000 * scale) };
  const queues = { few: await startQueue(), many: await startQueue() };
  const { redis } = queues.many;
  const data = mkdtempSync(join(tmpdir(), "postern-bench-million-"));
  const spool = createFsSpool({ directory: join(data, "spool") });
  try {
    const emptyBytes = await usedMemory(redis);
    await defer(queues.few, spool, counts.few);
    const startMs = performance.now();
    await defer(queues.many, spool, counts.many);
    const deferredPerSecond = counts.many / ((performance.now() - startMs) / 1000);
    const bytes = ((await usedMemory(redis)) - emptyBytes) / counts.many;
    say(
      `a million deferred: ${counts.many} are there, ${deferredPerSecond.toFixed(0)} a second, ${bytes.toFixed(0)} octets each`,
    );
    await untilRewritten(redis);
    const rates = { few: emptyRates(), many: emptyRates() };
    for (let round = -1; round < rounds; round++) {
      for (const which of ["few", "many"] as const) {
        const { enqueue, dequeue, enqueueMicros } = await throughQueue(queues[which], spool);
        if (round < 0) continue;
        rates[which].enqueue.push(enqueue);
        rates[which].dequeue.push(dequeue);
        rates[which].enqueueMicros.push(enqueueMicros);
        say(
          `with ${counts[which]} deferred: ${enqueue.toFixed(0)} enqueued and ${dequeue.toFixed(0)} dequeued a second, ` +
            `Redis busy for ${enqueueMicros.toFixed(1)} µs for each message`,
        );
      }
    }
    const restartSeconds = await restart(redis);
    say(`a million deferred: Redis, killed and started again, answers after ${restartSeconds.toFixed(1)} s`);
    const recovery = await recover(redis, spool);
    say(
      `a million deferred: from the spool ${recovery.messages} are back after ${recovery.seconds.toFixed(1)} s`,
    );

    const pair = (kind: keyof Rates): Pick<Row, "ours" | "theirs"> => ({
      ours: rates.many[kind],
      theirs: { name: "with a thousand", values: rates.few[kind] },
    });
    const rate = (kind: "enqueue" | "dequeue"): Row => ({
      name: `${kind}, with ${counts.many} deferred`,
      unit: "msg/s",
      ...pair(kind),
      target: { kind: "ratio-at-least", value: 0.83 },
    });
    return {
      title: `${counts.many} deferred messages`,
      about:
        `Each tried once and deferred with 450, one recipient. Rates with ${sampleSize} more messages that are enqueued, and ` +
        "then taken and ended by one worker.",
      rows: [
        {
          name: "Redis memory for each",
          unit: "octets",
          ours: [bytes],
          target: { kind: "at-most", value: 1536 },
        },
        rate("enqueue"),
        { name: `CPU of Redis for each enqueued, with ${counts.many}`, unit: "µs", ...pair("enqueueMicros") },
        rate("dequeue"),
        { name: "stored, enqueued, taken and deferred", unit: "msg/s", ours: [deferredPerSecond] },
        { name: "Redis killed: until it answers again", unit: "s", ours: [restartSeconds] },
        {
          name: "Redis emptied: until all are enqueued again from the spool",
          unit: "s",
          ours: [recovery.seconds],
        },
      ],
    };
  } finally {
    for (const queue of Object.values(queues)) await queue.producer.close();
    await spool.close();
    for (const queue of Object.values(queues)) await queue.redis.close();
    rmSync(data, { recursive: true, force: true });
  }
}

interface Rates {
  enqueue: number[];
  /** CPU time of Redis for each message. */
  enqueueMicros: number[];
  dequeue: number[];
}

function emptyRates(): Rates {
  return { enqueue: [], enqueueMicros: [], dequeue: [] };
}

/** @returns messages a second that are enqueued and handled, one after the other */
async function throughQueue({ redis, producer }: Queue, spool: Spool): Promise<Record<keyof Rates, number>> {
  const messages = await storeMessages(spool, domain, sampleSize, octets);
  const busyBefore = await busySeconds(redis);
  const startMs = performance.now();
  for (let start = 0; start < messages.length; start += batch) {
    await enqueue(producer, messages.slice(start, start + batch));
  }
  const enqueuedMs = performance.now();
  const busyAfter = await busySeconds(redis);
  let firstMs = 0;
  await consume(redis, sampleSize, () => {
    firstMs ||= performance.now();
    return { kind: "done" };
  });
  const dequeuedMs = performance.now();
  await spool.settle(
    messages.map(({ meta }) => ({ id: meta.id, recipients: [0], state: { kind: "removed" as const } })),
  );
  return {
    enqueue: sampleSize / ((enqueuedMs - startMs) / 1000),
    enqueueMicros: ((busyAfter - busyBefore) * 1_000_000) / sampleSize,
    dequeue: sampleSize / ((dequeuedMs - firstMs) / 1000),
  };
}

/** Stores and enqueues messages; a worker defers each of them for longer than the benchmark runs. */
async function defer({ redis, producer }: Queue, spool: Spool, count: number): Promise<void> {
  const atMs = Date.now() + 3_600_000 * 5;
  const history = {
    attempts: 1,
    lastAttemptAtMs: Date.now(),
    last: [
      {
        recipients: [0],
        diagnosis: {
          status: "4.2.0" as const,
          class: "4xx" as const,
          reason: "450 4.2.0 Come again later",
          reply: {
            code: 450,
            enhanced: "4.2.0" as const,
            lines: ["4.2.0 Come again later"],
            command: "RCPT" as const,
          },
          remote: { host: "mx.example.com", address: "192.0.2.25", port: 25 },
          atMs: Date.now(),
        },
      },
    ],
  };
  // In batches, so that few messages wait at a time.
  const handled = consume(redis, count, () => ({ kind: "later", atMs, queue: "delivery", history, route }));
  for (let start = 0; start < count; start += batch) {
    await enqueue(producer, await storeMessages(spool, domain, Math.min(batch, count - start), octets));
  }
  await handled;
}

/** Resolves when so many jobs have been handled and the worker has stopped. */
async function consume(redis: TestRedis, count: number, handle: () => JobNext): Promise<void> {
  let handled = 0;
  const all = Promise.withResolvers<void>();
  const consumer = consumeDeliveries({
    redis: { url: redis.url },
    log,
    concurrency: 100,
    async handle() {
      if (++handled === count) all.resolve();
      return handle();
    },
  });
  await all.promise;
  await consumer.close(10_000);
}

async function enqueue(producer: QueueProducer, messages: StoredMessage[]): Promise<void> {
  await producer.addDeliveries(messages.map((message) => ({ message, routes: [route] })));
}

async function usedMemory(redis: TestRedis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.command("INFO memory"))?.[1]);
}

/** CPU time of the thread that runs the commands, since Redis was started. */
async function busySeconds(redis: TestRedis): Promise<number> {
  const all = (await redis.command("INFO cpu")).matchAll(/used_cpu_(?:sys|user)_main_thread:([\d.]+)/g);
  return [...all].reduce((sum, [, seconds]) => sum + Number(seconds), 0);
}

/** Waits until Redis has rewritten its append-only file. */
async function untilRewritten(redis: TestRedis): Promise<void> {
  await waitFor(
    "the append-only file to be rewritten",
    async () => /aof_rewrite_in_progress:0/.test(await redis.command("INFO persistence")),
    120_000,
  );
}

async function restart(redis: TestRedis): Promise<number> {
  await redis.kill();
  const startMs = performance.now();
  await redis.restart();
  return (performance.now() - startMs) / 1000;
}

async function recover(redis: TestRedis, spool: Spool): Promise<{ seconds: number; messages: number }> {
  await redis.flush();
  const startMs = performance.now();
  const scanned = Promise.withResolvers<number>();
  const reconciler = createReconciler({
    spool,
    redis: { url: redis.url },
    config: testConfig(),
    log,
    summarizeRoute: () => route,
    onScan: ({ deliveries }) => scanned.resolve(deliveries),
  });
  const messages = await scanned.promise;
  await reconciler.close();
  return { seconds: (performance.now() - startMs) / 1000, messages };
}
