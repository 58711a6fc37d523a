/**
 * Connections of one purpose to the shards: a single one where one server has all of them, in a cluster one to the primary
 * of each shard's slot. It owns them; disconnect() ends them.
 */
import type { Logger } from "../runtime/log.ts";
import {
  createRedis,
  queuePrefix,
  type RedisConfig,
  type RedisConnection,
  type RedisPurpose,
} from "../runtime/redis.ts";
import { prefixOfId, type Shard } from "./shard.ts";

export class ShardConnections {
  readonly #config: RedisConfig;
  readonly #purpose: RedisPurpose;
  readonly #log: Logger;
  readonly #shards = new Map<string, Shard>();
  readonly #whenReady: ((shard: Shard) => void)[] = [];
  #isClosed = false;

  /** @throws Error as createRedis() */
  constructor(config: RedisConfig, purpose: RedisPurpose, log: Logger) {
    this.#config = config;
    this.#purpose = purpose;
    this.#log = log;
    this.of(queuePrefix);
  }

  /** Where all that is one for the whole gateway is: holds, tasks, leases of the reconciler. */
  get global(): RedisConnection {
    return this.of(queuePrefix).redis;
  }

  /** Opens a connection where there is none yet. */
  of(prefix: string): Shard {
    const known = this.#shards.get(prefix);
    if (known !== undefined) return known;
    const first = this.#shards.get(queuePrefix)?.redis;
    const isShared = first !== undefined && this.#config.cluster === undefined;
    const shard = { prefix, redis: isShared ? first : this.#open(prefix) };
    this.#shards.set(prefix, shard);
    return shard;
  }

  ofId(id: string): Shard {
    return this.of(prefixOfId(id));
  }

  /** @param notify  called whenever a connection to the shard is ready */
  onReady(notify: (shard: Shard) => void): void {
    this.#whenReady.push(notify);
  }

  #open(prefix: string): RedisConnection {
    const redis = createRedis(this.#config, this.#purpose, this.#log, prefix);
    if (this.#isClosed) redis.disconnect();
    redis.on("ready", () => {
      const own = [...this.#shards.values()].filter((shard) => shard.redis === redis);
      for (const notify of this.#whenReady) for (const shard of own) notify(shard);
    });
    return redis;
  }

  disconnect(): void {
    this.#isClosed = true;
    for (const { redis } of this.#shards.values()) redis.disconnect();
  }
}
