/** Appends batches of events to the stream of one shard, whose Redis it does not fill. The connection is the caller's. */
import type { Logger } from "../../runtime/log.ts";
import type { Shard } from "../../shards/shard.ts";
import { appendEvents, dropOlderHalf, newShardExpiries, type Retention } from "./append.ts";
import type { EventBatch } from "./event-batch.ts";
import { eventKeys } from "./keys.ts";

export interface StreamWriterOptions {
  shard: Shard;
  retention: Retention;
  log: Logger;
  /** How often the memory of Redis is looked at. */
  memoryCheckMs?: number;
}

/** How often the memory of Redis is looked at, and from which share of `maxmemory` on events give way to mail. */
const defaultMemoryCheckMs = 10_000;
const memoryShare = 0.8;

export class StreamWriter {
  readonly #options: StreamWriterOptions;
  readonly #keys: ReturnType<typeof eventKeys>;
  readonly #expiries = newShardExpiries();
  #memoryCheckedAtMs = 0;

  constructor(options: StreamWriterOptions) {
    this.#options = options;
    this.#keys = eventKeys(options.shard.prefix);
  }

  get prefix(): string {
    return this.#options.shard.prefix;
  }

  /** @returns whether Redis took it */
  async append(batch: EventBatch): Promise<boolean> {
    const { shard, retention, log } = this.#options;
    try {
      await this.#checkMemory();
      await appendEvents(shard.redis, this.#keys, batch, retention, this.#expiries);
      return true;
    } catch (error) {
      if (/^OOM/.test((error as Error).message)) await this.#makeRoom();
      else log.debug({ err: error }, "could not append events; will repeat");
      return false;
    }
  }

  /** Events must not take the memory that the schedule of the mail needs. */
  async #checkMemory(): Promise<void> {
    const { shard, memoryCheckMs = defaultMemoryCheckMs } = this.#options;
    const nowMs = Date.now();
    if (nowMs < this.#memoryCheckedAtMs + memoryCheckMs) return;
    this.#memoryCheckedAtMs = nowMs;
    const info = String(await shard.redis.info("memory"));
    const read = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
    const limit = read("maxmemory");
    if (limit > 0 && read("used_memory") > limit * memoryShare) await this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const { shard, log } = this.#options;
    try {
      const removed = await dropOlderHalf(shard.redis, this.#keys);
      if (removed > 0)
        log.warn(
          { removed },
          "Redis is nearly full: the older half of the events was removed; lower events.max",
        );
    } catch (error) {
      log.debug({ err: error }, "could not remove events");
    }
  }
}
