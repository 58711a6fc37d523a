/**
 * The workers of a process: for each shard that may have jobs one for each of its queues, while it has any. Owns the workers,
 * the connection that says which shards these are, and a timer; close() ends them.
 */
import type { Logger } from "../runtime/log.ts";
import type { RedisConfig } from "../runtime/redis.ts";
import { KnownShards } from "../shards/known-shards.ts";
import { ShardConnections } from "../shards/shard-connections.ts";
import { type RunningWorker, startWorker, type WorkerOptions } from "./bullmq/bullmq-worker.ts";
import { SharedConcurrency } from "./bullmq/shared-concurrency.ts";
import type { QueueName } from "./contract/contract.ts";

export interface ShardWorkersOptions extends Pick<WorkerOptions, "timing" | "mayOutlastGrace"> {
  redis: RedisConfig;
  log: Logger;
  /** How many jobs of each queue the process works on at once, in all shards. */
  concurrency: Partial<Record<QueueName, number>>;
  /** Must not throw. */
  handle(
    queue: QueueName,
    ...started: Parameters<WorkerOptions["handle"]>
  ): ReturnType<WorkerOptions["handle"]>;
}

/** A worker of a shard that was forgotten has no job, or will lose it soon. */
const leaveMs = 30_000;

export class ShardWorkers {
  readonly #options: ShardWorkersOptions;
  readonly #queues: { queue: QueueName; concurrency: SharedConcurrency }[];
  readonly #connections: ShardConnections;
  readonly #shards: KnownShards;
  readonly #workers = new Map<string, RunningWorker[]>();
  /** Those of shards that were forgotten. */
  readonly #leaving = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: ShardWorkersOptions) {
    const { redis, log } = options;
    this.#options = options;
    this.#queues = (Object.entries(options.concurrency) as [QueueName, number][]).map(([queue, limit]) => ({
      queue,
      concurrency: new SharedConcurrency(limit),
    }));
    this.#connections = new ShardConnections(redis, "plain", log);
    this.#shards = new KnownShards(this.#connections, redis.shards ?? 1, log);
    this.#shards.onChange(() => this.#follow());
    this.#follow();
  }

  /** As RunningWorker.close(), for all of them. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true;
    this.#shards.close();
    this.#connections.disconnect();
    const workers = [...this.#workers.values()].flat();
    await Promise.all([...workers.map((worker) => worker.close(graceMs)), ...this.#leaving]);
  }

  #follow(): void {
    if (this.#isClosed) return;
    const { log } = this.#options;
    const known = new Set(this.#shards.all.map(({ prefix }) => prefix));
    for (const prefix of known) {
      if (this.#workers.has(prefix)) continue;
      this.#workers.set(prefix, this.#start(prefix));
    }
    for (const [prefix, workers] of this.#workers) {
      if (known.has(prefix)) continue;
      this.#workers.delete(prefix);
      log.debug({ prefix }, "the shard is not used any more");
      const left = Promise.all(workers.map((worker) => worker.close(leaveMs))).then(() => {
        this.#leaving.delete(left);
      });
      this.#leaving.add(left);
    }
  }

  #start(prefix: string): RunningWorker[] {
    const { redis, log, timing, mayOutlastGrace, handle } = this.#options;
    return this.#queues.map(({ queue, concurrency }) =>
      startWorker({
        queue,
        redis,
        prefix,
        concurrency,
        log,
        ...(timing === undefined ? {} : { timing }),
        ...(mayOutlastGrace === undefined ? {} : { mayOutlastGrace }),
        handle: (started) => handle(queue, started),
      }),
    );
  }
}
