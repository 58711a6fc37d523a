/**
 * The prefixes in use, as they stand in Redis: a sorted set of prefixes by when a process last claimed them. Whoever adds
 * jobs to a shard claims it before; whoever reads the queues looks into all shards that stand there. Thus processes that
 * are configured with different numbers of shards see each other's mail, and the mail of former numbers is drained.
 */
import { queuePrefix, type RedisConnection } from "../runtime/redis.ts";
import { Script } from "../runtime/redis-script.ts";

/** What the shards are in use for: jobs, or events, which are kept longer. Each has a registry of its own. */
export type ShardUse = "queues" | "events";

/** Times are by the clock of Redis, in epoch milliseconds. */
const registryKeys: Record<ShardUse, string> = {
  queues: `${queuePrefix}:shards`,
  events: `${queuePrefix}:shards:events`,
};
const registryKey = registryKeys.queues;

/**
 * Claims shards. Where none was ever claimed, the queues may be those of a version without shards.
 * KEYS: the registry. ARGV: the prefix of a version without shards, after how long (ms) a shard that nobody claims is
 * forgotten here or 0 for never, then the prefixes. It runs also when Redis is full.
 */
const claimScript = new Script(
  `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call("EXISTS", KEYS[1]) == 0 then redis.call("ZADD", KEYS[1], now, ARGV[1]) end
for i = 3, #ARGV do redis.call("ZADD", KEYS[1], now, ARGV[i]) end
if ARGV[2] ~= "0" then
  redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now - ARGV[2])
  redis.call("PEXPIRE", KEYS[1], ARGV[2])
end
return now
`,
  { whenFull: true },
);

/** The shards that were not claimed for a time. KEYS: the registry. ARGV: the time (ms). Returns prefixes and scores. */
const unclaimedScript = new Script(`
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now - ARGV[1], "WITHSCORES")
`);

/** Removes a shard that nobody has claimed since. KEYS: the registry. ARGV: prefix, score. Returns 1 when it did. */
const forgetScript = new Script(
  `
local score = redis.call("ZSCORE", KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
return redis.call("ZREM", KEYS[1], ARGV[1])
`,
  { whenFull: true },
);

/** A shard that nobody has claimed for a time. */
export interface UnclaimedShard {
  prefix: string;
  /** When it was claimed last. */
  claimed: string;
}

/** @throws Error of Redis */
export async function readPrefixes(redis: RedisConnection, use: ShardUse): Promise<string[]> {
  const prefixes = await redis.zrange(registryKeys[use], "0", "-1");
  return prefixes.length > 0 ? prefixes : [queuePrefix];
}

/** @throws Error of Redis */
export async function unclaimedShards(redis: RedisConnection, forMs: number): Promise<UnclaimedShard[]> {
  const flat = ((await unclaimedScript.run(redis, [registryKey], [forMs])) as unknown[]).flat();
  const shards: UnclaimedShard[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2)
    shards.push({ prefix: String(flat[i]), claimed: String(flat[i + 1]) });
  return shards;
}

/** @returns false when a process has claimed it since. @throws Error of Redis */
export async function forgetShard(
  redis: RedisConnection,
  { prefix, claimed }: UnclaimedShard,
): Promise<boolean> {
  return Number(await forgetScript.run(redis, [registryKey], [prefix, claimed])) === 1;
}

/** Claims shards for events, for so long. @throws Error of Redis */
export async function claimForEvents(
  redis: RedisConnection,
  prefixes: readonly string[],
  forMs: number,
): Promise<void> {
  await claimScript.run(redis, [registryKeys.events], [queuePrefix, Math.ceil(forMs), ...prefixes]);
}

/** A claim is renewed after so long while jobs are added. */
const renewMs = 2_000;
/** A claim that is older must be renewed before jobs are added: it may be forgotten soon (see forgetAfterMs). */
const oldMs = 10_000;
/** A shard without jobs that nobody has claimed for so long is forgotten. Much longer than any process adds under a claim. */
export const forgetAfterMs = 30_000;

/** The claims of one producer, which are made when they are due. */
export class ShardClaims {
  readonly #redis: RedisConnection;
  /** By prefix, of the monotonic clock. */
  readonly #claimedMs = new Map<string, number>();
  #isRenewing = false;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  /** To be awaited before jobs are added to these shards. @throws Error of Redis */
  async claim(prefixes: Iterable<string>): Promise<void> {
    const nowMs = performance.now();
    const due: string[] = [];
    let isOld = false;
    for (const prefix of prefixes) {
      const ageMs = nowMs - (this.#claimedMs.get(prefix) ?? Number.NEGATIVE_INFINITY);
      if (ageMs < renewMs) continue;
      due.push(prefix);
      if (ageMs >= oldMs) isOld = true;
    }
    if (due.length === 0) return;
    if (isOld) return this.#claim(due, nowMs);
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    const ended = (): void => {
      this.#isRenewing = false;
    };
    this.#claim(due, nowMs).then(ended, ended);
  }

  async #claim(prefixes: readonly string[], nowMs: number): Promise<void> {
    await claimScript.run(this.#redis, [registryKey], [queuePrefix, 0, ...prefixes]);
    for (const prefix of prefixes) this.#claimedMs.set(prefix, nowMs);
  }
}
