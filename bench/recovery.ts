/**
 * `npm run bench:recovery -- --records 100000,1000000`: what it takes to schedule a whole spool again after Redis lost
 * everything, and what fresh mail notices of it. For each number of records, in processes of their own: one stores them,
 * one recovers them with a real Redis that is empty, and one stores a fresh message every 100 ms and works on jobs.
 *   --records A,B,…  numbers of records (100000)
 *   --warned         each record also has an entry in a status log, as mail that is deferred for hours
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
import { consumeDeliveries } from "../shared/queue/consumer.ts";
import { createProducer } from "../shared/queue/producer.ts";
import { createReconciler } from "../shared/queue/reconcile/reconciler.ts";
import { createFsSpool } from "../shared/spool/fs/fs-spool.ts";
import { testConfig } from "../test/support/config.ts";
import { startRedis } from "../test/support/redis.ts";
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

/** Stores and publishes fresh mail until stopped, beside workers that deliver whatever they get. */
function sendFresh(
  directory: string,
  redisUrl: string,
): { stop(): Promise<{ acceptMs: number[]; startMs: number[] }> } {
  const spool = createFsSpool({ directory });
  const producer = createProducer({ url: redisUrl }, log);
  const acceptMs: number[] = [];
  const startMs: number[] = [];
  /** When each fresh message was sent that no worker has had. */
  const waiting = new Map<string, number>();
  const consumer = consumeDeliveries({
    redis: { url: redisUrl },
    log,
    concurrency: 20,
    async handle({ job }) {
      const atMs = waiting.get(job.id);
      if (atMs !== undefined) startMs.push(performance.now() - atMs);
      waiting.delete(job.id);
      // A server that takes 50 ms: 20 workers do 400 a second, and the recovery adds more.
      await new Promise((resolve) => setTimeout(resolve, 50));
      // Otherwise the scan would add the job again.
      await spool.settle([{ id: job.id, recipients: [0], state: { kind: "delivered" } }]);
      return { kind: "done" };
    },
  });
  let sending = Promise.resolve();
  const timer = setInterval(() => {
    sending = sending.then(async () => {
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
      const endMs = performance.now() + lastFreshMs;
      while (waiting.size > 0 && performance.now() < endMs)
        await new Promise((resolve) => setTimeout(resolve, 100));
      await consumer.close(1000);
      await producer.close();
      await spool.close();
      return { acceptMs, startMs };
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

const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

async function measure(records: number, { warned, walk }: { warned: boolean; walk: boolean }): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), "postern-bench-recovery-"));
  const directory = join(data, "spool");
  const redis = walk ? undefined : await startRedis();
  const redisUrl = redis?.url ?? "";
  try {
    await redis?.command("CONFIG SET hash-max-listpack-value 2048");
    await inProcess({ role: "store", directory, records, warned, redisUrl });
    const bytes = directoryBytes(join(directory, "segments")) + directoryBytes(join(directory, "settled"));
    console.log(`${records} records, ${mib(bytes)} in the spool`);
    const fresh = walk ? undefined : sendFresh(directory, redisUrl);
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
    const { acceptMs, startMs } = await fresh.stop();
    console.log(
      `  meanwhile ${acceptMs.length} fresh messages: stored within ${quantile(acceptMs, 0.5)} (median), ` +
        `${quantile(acceptMs, 1)} (slowest); ${startMs.length} of them with a worker within ` +
        `${quantile(startMs, 0.5)}, ${quantile(startMs, 1)}`,
    );
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
    },
  });
  for (const records of values.records.split(",")) await measure(Number(records), values);
}
