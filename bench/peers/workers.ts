/** Delivery worker processes on a spool and a Redis that the benchmark fills, to measure delivery alone. close() stops all of it. */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { createProducer } from "../../shared/queue/producer.ts";
import { createFsSpool } from "../../shared/spool/fs/fs-spool.ts";
import type { testConfig } from "../../test/support/config.ts";
import { startRedis } from "../../test/support/redis.ts";
import { orInterrupted } from "../interrupt.ts";
import { end } from "./program.ts";
import { storeMessages } from "./stored-messages.ts";

const worker = fileURLToPath(new URL("../../test/support/delivery-process.ts", import.meta.url));

export interface WorkerBench {
  /** Stores and enqueues messages of 2 KB to the domain. */
  accept(domain: string, messages: number): Promise<void>;
  start(workers: number): void;
  close(): Promise<void>;
}

export async function createWorkerBench(given: Parameters<typeof testConfig>[0]): Promise<WorkerBench> {
  const redis = await startRedis();
  const data = mkdtempSync(path.join(tmpdir(), "postern-bench-workers-"));
  const config = { ...given, data, redis: { url: redis.url } };
  const spool = createFsSpool({ directory: path.join(data, "spool"), followMs: 50 });
  const producer = createProducer({ url: redis.url }, pino({ level: "warn" }));
  const running: ChildProcess[] = [];

  return {
    async accept(domain, messages) {
      for (let start = 0; start < messages; start += 100) {
        const count = Math.min(100, messages - start);
        const stored = await storeMessages(spool, domain, count, 2000);
        await producer.addDeliveries(stored.map((message) => ({ message, routes: [] })));
      }
    },
    start(workers) {
      for (let n = 0; n < workers; n++) running.push(fork(worker, [JSON.stringify(config)]));
    },
    close: orInterrupted(async () => {
      for (const child of running) await end(child, "SIGKILL");
      await producer.close();
      await spool.close();
      await redis.close();
      rmSync(data, { recursive: true, force: true });
    }),
  };
}
