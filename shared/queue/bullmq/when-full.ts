/**
 * Lets BullMQ's own scripts run when Redis has reached `maxmemory` and refuses commands that need memory: otherwise no
 * worker could take a job any more, and no delivery would make room. Owns nothing.
 */
import type { RedisConnection } from "../../runtime/redis.ts";
import { evenWhenFull, knowsScriptFlags } from "../../runtime/redis-script.ts";

type Define = RedisConnection["defineCommand"];

/**
 * Remembers the scripts that BullMQ defines on a connection, and defines them anew once it is known that the server can
 * read flags of scripts.
 * @param redis  a worker's connection, before BullMQ gets it
 */
export function runScriptsWhenFull(redis: RedisConnection): void {
  const define: Define = redis.defineCommand.bind(redis);
  const defined = new Map<string, Parameters<Define>[1]>();
  let isFlagged = false;
  const defineFlagged: Define = (name, definition) => {
    defined.set(name, definition);
    define(name, isFlagged ? { ...definition, lua: evenWhenFull(definition.lua) } : definition);
  };
  Object.assign(redis, { defineCommand: defineFlagged });
  redis.on("ready", async () => {
    const isKnown = await knowsScriptFlags(redis).catch(() => isFlagged);
    if (isKnown === isFlagged) return;
    isFlagged = isKnown;
    for (const [name, definition] of defined) defineFlagged(name, definition);
  });
}
