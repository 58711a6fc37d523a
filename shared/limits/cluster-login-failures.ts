/**
 * Failed logins counted in Redis, for all processes together. While Redis is away each process counts its own. Owns a
 * connection to Redis; close() ends it.
 */
import { createHash } from "node:crypto";
import type { Logger } from "../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig } from "../runtime/redis.ts";
import { Script } from "../runtime/redis-script.ts";
import {
  createLocalLoginFailures,
  decideLimit,
  knownClientMs,
  type LoginAttempt,
  type LoginFailures,
} from "./login-failures.ts";
import { RedisWithDeadline } from "./redis-with-deadline.ts";

/** KEYS: counters. Returns what each has. */
const readScript = new Script(`
local counts = {}
for i, key in ipairs(KEYS) do counts[i] = tonumber(redis.call("GET", key) or 0) end
return counts
`);

/** KEYS: counters. ARGV: their periods (ms), which begin with the first count. Returns what each has now. */
const countScript = new Script(`
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = redis.call("INCR", key)
  if counts[i] == 1 then redis.call("PEXPIRE", key, ARGV[i]) end
end
return counts
`);

/** KEYS: a mark. ARGV: how long it stays (ms). */
const markScript = new Script(`return redis.call("SET", KEYS[1], 1, "PX", ARGV[1])`);

export interface ClusterLoginFailures extends LoginFailures {
  close(): void;
}

export function createClusterLoginFailures(options: {
  redis: RedisConfig;
  log: Logger;
}): ClusterLoginFailures {
  const redis = new RedisWithDeadline(createRedis(options.redis, "producer", options.log));
  /** Counts along, so that it knows the failures so far when Redis goes away. */
  const local = createLocalLoginFailures();

  /** @returns the script's numbers; `undefined` while Redis is away */
  async function ask(script: Script, keys: string[], args: number[]): Promise<number[] | undefined> {
    await redis.starting;
    return redis.isAvailable ? redis.run(script, keys, args, (answer) => answer as number[]) : undefined;
  }

  return {
    async limitReached(attempt, limits) {
      const { client, user, known } = keysOf(attempt);
      const counts = await ask(readScript, [client, user, known], []);
      if (counts === undefined) return local.limitReached(attempt, limits);
      const [ofClient = 0, ofUser = 0, knownClient = 0] = counts;
      return decideLimit({ client: ofClient, user: ofUser, isKnownClient: knownClient > 0 }, limits);
    },
    async countFailure(attempt, limits) {
      const ours = await local.countFailure(attempt, limits);
      const { client, user } = keysOf(attempt);
      const periods = [limits.client.periodMs, limits.user.periodMs];
      const counts = await ask(countScript, [client, user], periods);
      return counts?.[0] ?? ours;
    },
    countSuccess(attempt) {
      local.countSuccess(attempt);
      void ask(markScript, [keysOf(attempt).known], [knownClientMs]);
    },
    close: () => redis.connection.disconnect(),
  };
}

/** A user's name may be long, and is nothing for the eyes of those who look into Redis. */
function keysOf({ client, user }: LoginAttempt) {
  const name = createHash("sha256").update(user).digest("base64url").slice(0, 22);
  return {
    client: `${queuePrefix}:login:client:${client}`,
    user: `${queuePrefix}:login:user:${name}`,
    known: `${queuePrefix}:login:known:${client}:${name}`,
  };
}
