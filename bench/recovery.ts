/**
 * `npm run bench:recovery -- --records 100000,1000000`: what it takes to schedule a whole spool again after Redis lost
 * everything, and what fresh mail notices of it. For each number of records, in processes of their own: one stores them,
 * one recovers them with a real Redis that is empty, and one stores a fresh message every 100 ms and works on jobs.
 *   --records A,B,…  numbers of records (100000)
 *   --warned         each record also has an entry in a status log, as mail that is deferred for hours
 *   --room SHARE     Redis has memory for that share of the jobs (0.33): the rest waits in the spool until deliveries have
 *                    made room. Fresh mail is refused as an ingress refuses it, and all mail is delivered in the end
 *   --walk           reads the spool and frees it, without Redis: for more records than Redis has memory for
 * Seconds are of the CPU, and of the clock: on a shared machine only the first say something.
 */
import { fork } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { createAdmission } from "../services/ingress/admission/admission.ts";
import { consumeDeliveries } from "../shared/queue/consumer.ts";
import { createProducer } from "../shared/queue/producer.ts";
import { createReconciler } from "../shared/queue/reconcile/reconciler.ts";
import { createRedis } from "../shared/runtime/redis.ts";
import { createFsSpool } from "../shared/spool/fs/fs-spool.ts";
import { testConfig } from "../test/support/config.ts";
import { startRedis, type TestRedis } from "../test/support/redis.ts";
import { storeMessages } from "./peers/stored-messages.ts";

const log = pino({ level: "error" });
const batch = 2000;
const octets = 100;
const route = { label: "relay via mx bench.example", aliases: ["bench.example"] };
const freshEveryMs = 100;
/** The scan takes what came in its last ten seconds for fresh mail, and what is recovered must not be that. */
const ageMs = 3_600_000;
/** How long fresh mail may take after the recovery: what has no worker by then is reported. */
const lastFreshMs = 60_000;
/** What a job of this benchmark takes of Redis' memory. */
const octetsOfJob = 570;

/** What a process of this benchmark is to do. */
interface Task {
  role: "store" | "recover" | "walk";
  directory: string;
  records: number;
  warned: boolean;
  redisUrl: string;
}

/** What it reports. Octets are of the resident set. */
interface Report {
  records: number;
  cpuSeconds: number;
  seconds: number;
  startBytes: number;
  peakBytes: number;
  /** After the spool was collected as well. */
  collectCpuSeconds: number;
  collectPeakBytes: number;
}

class Meter {
  readonly #startCpu = process.cpuUsage();
  readonly #startMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  peakBytes = 0;

  constructor() {
    const sample = () => {
      this.peakBytes = Math.max(this.peakBytes, process.memoryUsage.rss());
    };
    sample();
    this.#timer = setInterval(sample, 50);
  }

  stop(): { cpuSeconds: number; seconds: number; peakBytes: number } {
    clearInterval(this.#timer);
    const { user, system } = process.cpuUsage(this.#startCpu);
    return {
      cpuSeconds: (user + system) / 1e6,
      seconds: (performance.now() - this.#startMs) / 1000,
      peakBytes: Math.max(this.peakBytes, process.memoryUsage.rss()),
    };
  }
}

async function store({ directory, records, warned }: Task): Promise<void> {
  const spool = createFsSpool({ directory });
  for (let start = 0; start < records; start += batch) {
    const stored = await storeMessages(spool, "example.com", Math.min(batch, records - start), octets, ageMs);
    if (!warned) continue;
    const state = { kind: "pending" as const, warned: true as const };
    await spool.settle(stored.map(({ meta }) => ({ id: meta.id, recipients: [0], state })));
  }
  await spool.close();
}

async function recover({ directory, redisUrl, role }: Task): Promise<Report> {
  const startBytes = process.memoryUsage.rss();
  const meter = new Meter();
  const spool = createFsSpool({ directory });
  let records = 0;
  if (role === "walk") {
    for await (const _ of spool.unsettled()) records++;
  } else {
    const scanned = Promise.withResolvers<number>();
    const reconciler = createReconciler({
      spool,
      redis: { url: redisUrl },
      config: testConfig(),
      log,
      summarizeRoute: () => route,
      timing: { reclaimMs: 0, collectEveryMs: 3_600_000 },
      onScan: ({ deliveries }) => scanned.resolve(deliveries),
    });
    records = await scanned.promise;
    await reconciler.close();
  }
  const recovery = meter.stop();
  const collecting = new Meter();
  await spool.collect();
  const collect = collecting.stop();
  await spool.close();
  return {
    records,
    startBytes,
    ...recovery,
    collectCpuSeconds: collect.cpuSeconds,
    collectPeakBytes: collect.peakBytes,
  };
}

const self = fileURLToPath(import.meta.url);

/** Runs a task in a process of its own, with the options of `bin/postern`. */
function inProcess(task: Task): Promise<Report | undefined> {
  const child = fork(self, [], {
    env: { ...process.env, RECOVERY_TASK: JSON.stringify(task) },
    execArgv: ["--max-semi-space-size=32", "--initial-old-space-size=128"],
  });
  let report: Report | undefined;
  child.on("message", (message) => {
    report = message as Report;
  });
  return new Promise((resolve, reject) => {
    child.on("exit", (code) => (code === 0 ? resolve(report) : reject(new Error(`${task.role} failed`))));
  });
}

interface FreshMail {
  acceptMs: number[];
  startMs: number[];
  refused: number;
}

/**
 * Stores and publishes fresh mail until stopped, beside workers that deliver whatever they get.
 * @param all  how many messages are to be delivered besides; 0: what is left when fresh mail has been delivered stays
 */
function sendFresh(directory: string, redisUrl: string, all: number): { stop(): Promise<FreshMail> } {
  const spool = createFsSpool({ directory });
  const producer = createProducer({ url: redisUrl }, log);
  const connection = createRedis({ url: redisUrl }, "plain", log);
  const { limits } = testConfig();
  const admission = createAdmission({ limits, spool, redis: connection, log });
  let refused = 0;
  let delivered = 0;
  const acceptMs: number[] = [];
  const startMs: number[] = [];
  /** When each fresh message was sent that no worker has had. */
  const waiting = new Map<string, number>();
  const consumer = consumeDeliveries({
    redis: { url: redisUrl },
    log,
    concurrency: all === 0 ? 20 : 100,
    async handle({ job }) {
      const atMs = waiting.get(job.id);
      if (atMs !== undefined) startMs.push(performance.now() - atMs);
      waiting.delete(job.id);
      // A server that takes 50 ms: 20 workers do 400 a second, and the recovery adds more. 100 are to deliver all of it.
      await new Promise((resolve) => setTimeout(resolve, 50));
      // Otherwise the scan would add the job again.
      await spool.settle([{ id: job.id, recipients: [0], state: { kind: "delivered" } }]);
      delivered++;
      return { kind: "done" };
    },
  });
  let sending = Promise.resolve();
  const timer = setInterval(() => {
    sending = sending.then(async () => {
      if (admission.refuseMail(octets) !== undefined) {
        refused++;
        return;
      }
      const atMs = performance.now();
      const [message] = await storeMessages(spool, "example.com", 1, octets);
      if (message === undefined) return;
      acceptMs.push(performance.now() - atMs);
      waiting.set(message.meta.id, atMs);
      await producer.addDeliveries([{ message, routes: [route] }]);
    });
  }, freshEveryMs);
  return {
    async stop() {
      clearInterval(timer);
      await sending;
      while (delivered < all) await new Promise((resolve) => setTimeout(resolve, 100));
      const endMs = performance.now() + lastFreshMs;
      while (waiting.size > 0 && performance.now() < endMs)
        await new Promise((resolve) => setTimeout(resolve, 100));
      await consumer.close(1000);
      admission.close();
      await producer.close();
      connection.disconnect();
      await spool.close();
      return { acceptMs, startMs, refused };
    },
  };
}

function directoryBytes(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

function quantile(values: number[], share: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return value === undefined ? "-" : `${Math.round(value)} ms`;
}

/** @param share  of the jobs that Redis is to have memory for */
async function limitMemory(redis: TestRedis, records: number, share: number): Promise<void> {
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.command("INFO memory"))?.[1]);
  await redis.command(`CONFIG SET maxmemory ${Math.ceil(used + share * records * octetsOfJob)}`);
}

const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

interface Options {
  warned: boolean;
  walk: boolean;
  room?: string | undefined;
}

async function measure(records: number, { warned, walk, room }: Options): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), "postern-bench-recovery-"));
  const directory = join(data, "spool");
  const redis = walk ? undefined : await startRedis();
  const redisUrl = redis?.url ?? "";
  try {
    await redis?.command("CONFIG SET hash-max-listpack-value 2048");
    await inProcess({ role: "store", directory, records, warned, redisUrl });
    const bytes = directoryBytes(join(directory, "segments")) + directoryBytes(join(directory, "settled"));
    console.log(`${records} records, ${mib(bytes)} in the spool`);
    if (redis !== undefined && room !== undefined) await limitMemory(redis, records, Number(room));
    const fresh = walk ? undefined : sendFresh(directory, redisUrl, room === undefined ? 0 : records);
    const report = await inProcess({ role: walk ? "walk" : "recover", directory, records, warned, redisUrl });
    if (report === undefined) throw new Error("no report");
    console.log(
      `  ${report.records} found in ${report.cpuSeconds.toFixed(1)} s of CPU, ${report.seconds.toFixed(1)} s by the clock; ` +
        `memory ${mib(report.startBytes)} at the start, ${mib(report.peakBytes)} at most`,
    );
    console.log(
      `  collected in ${report.collectCpuSeconds.toFixed(1)} s of CPU; memory ${mib(report.collectPeakBytes)} at most`,
    );
    if (redis !== undefined) {
      const cpu = [...(await redis.command("INFO cpu")).matchAll(/used_cpu_(?:sys|user):([\d.]+)/g)];
      const seconds = cpu.reduce((sum, [, each]) => sum + Number(each), 0);
      console.log(`  Redis took ${seconds.toFixed(1)} s of CPU, with the fresh mail`);
    }
    if (fresh === undefined) return;
    const { acceptMs, startMs, refused } = await fresh.stop();
    console.log(
      `  meanwhile ${acceptMs.length} fresh messages: stored within ${quantile(acceptMs, 0.5)} (median), ` +
        `${quantile(acceptMs, 1)} (slowest); ${startMs.length} of them with a worker within ` +
        `${quantile(startMs, 0.5)}, ${quantile(startMs, 1)}; ${refused} were refused`,
    );
    if (room !== undefined) console.log(`  all ${records} were delivered in the end`);
  } finally {
    await redis?.close();
    rmSync(data, { recursive: true, force: true });
  }
}

const task = process.env.RECOVERY_TASK;
if (task !== undefined) {
  const parsed = JSON.parse(task) as Task;
  if (parsed.role === "store") await store(parsed);
  else process.send?.(await recover(parsed));
  process.disconnect?.();
} else {
  const { values } = parseArgs({
    options: {
      records: { type: "string", default: "100000" },
      warned: { type: "boolean", default: false },
      walk: { type: "boolean", default: false },
      room: { type: "string" },
    },
  });
  for (const records of values.records.split(",")) await measure(Number(records), values);
}
