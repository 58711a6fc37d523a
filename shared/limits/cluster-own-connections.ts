/**
 * The gateway's own connections over all processes, by short-lived keys in Redis. While Redis is away each process knows
 * its own. Owns a connection to Redis; close() ends it.
 */
import type { Logger } from "../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig } from "../runtime/redis.ts";
import { Script } from "../runtime/redis-script.ts";
import { createLocalOwnConnections, nameOf, type OwnConnections } from "./own-connections.ts";
import { RedisWithDeadline } from "./redis-with-deadline.ts";

/** What leads a connection back does so at once, or when a queue of a balancer has room. */
const comesBackWithinMs = 120_000;

/** KEYS: a connection. ARGV: how long it is remembered (ms). */
const addScript = new Script(`return redis.call("SET", KEYS[1], 1, "PX", ARGV[1])`);
/** KEYS: a connection. */
const removeScript = new Script(`return redis.call("DEL", KEYS[1])`);
const hasScript = new Script(`return redis.call("EXISTS", KEYS[1])`);

export interface ClusterOwnConnections extends OwnConnections {
  close(): void;
}

export function createClusterOwnConnections(options: {
  redis: RedisConfig;
  log: Logger;
}): ClusterOwnConnections {
  const redis = new RedisWithDeadline(createRedis(options.redis, "producer", options.log));
  const local = createLocalOwnConnections();

  async function ask(script: Script, key: string, args: number[] = []): Promise<unknown> {
    await redis.starting;
    return redis.isAvailable ? redis.run(script, [key], args, (answer) => answer) : undefined;
  }

  return {
    add(ends) {
      const remove = local.add(ends);
      const key = keyOf(nameOf(ends));
      void ask(addScript, key, [comesBackWithinMs]);
      return () => {
        remove();
        void ask(removeScript, key);
      };
    },
    has(ends) {
      return local.has(ends) || ask(hasScript, keyOf(nameOf(ends))).then((answer) => answer === 1);
    },
    close: () => redis.connection.disconnect(),
  };
}

function keyOf(name: string): string {
  return `${queuePrefix}:own-connection:${name}`;
}
