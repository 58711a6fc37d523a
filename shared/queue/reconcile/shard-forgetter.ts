/**
 * Forgets the shards of former numbers of shards when their last job has ended. The leading reconciler runs it. It owns
 * nothing; connections are the caller's.
 */
import type { Logger } from "../../runtime/log.ts";
import { forgetShard, unclaimedShards } from "../../shards/registry.ts";
import { prefixesOf } from "../../shards/shard.ts";
import type { ShardConnections } from "../../shards/shard-connections.ts";
import { isEmpty } from "../bullmq/job-places.ts";
import { removeEmptyQueues } from "../bullmq/leftovers.ts";

export interface ForgetterOptions {
  connections: ShardConnections;
  /** How many shards this process is configured with: these are never forgotten here. */
  own: number;
  /** After how long without a new job. */
  afterMs: number;
  log: Logger;
}

/** How often it looks, as a share of `afterMs`; and how long workers have to leave before the last keys are removed. */
const looksPerTime = 3;

export class ShardForgetter {
  readonly #options: ForgetterOptions;
  readonly #own: ReadonlySet<string>;
  /** By the monotonic clock. */
  #nextMs = 0;
  /** Shards that were forgotten, and when what is left of their keys is removed. */
  readonly #forgotten = new Map<string, number>();

  constructor(options: ForgetterOptions) {
    this.#options = options;
    this.#own = new Set(prefixesOf(options.own));
  }

  /** Called regularly. @throws Error of Redis */
  async forgetIfDue(): Promise<void> {
    const nowMs = performance.now();
    if (nowMs < this.#nextMs) return;
    const { connections, afterMs, log } = this.#options;
    this.#nextMs = nowMs + afterMs / looksPerTime;
    const unclaimed = await unclaimedShards(connections.global, afterMs);
    for (const shard of unclaimed) {
      if (this.#own.has(shard.prefix) || !(await isEmpty(connections.of(shard.prefix)))) continue;
      if (!(await forgetShard(connections.global, shard))) continue;
      this.#forgotten.set(shard.prefix, nowMs + afterMs);
      log.info({ shard: shard.prefix }, "a shard of a former number of shards has no jobs left: forgotten");
    }
    for (const [prefix, atMs] of this.#forgotten) {
      if (nowMs < atMs) continue;
      this.#forgotten.delete(prefix);
      await removeEmptyQueues(connections.of(prefix));
    }
  }
}
