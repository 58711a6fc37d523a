import assert from "node:assert/strict";
import { test } from "node:test";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import { knowsScriptFlags, Script } from "../../../shared/runtime/redis-script.ts";

/** A server before Redis 7, which cannot read flags of scripts. @returns the scripts that it was sent */
function olderServer(): { redis: RedisConnection; sent: string[] } {
  const sent: string[] = [];
  const redis = {
    async info() {
      return "# Server\r\nredis_version:6.2.14\r\n";
    },
    async evalsha() {
      throw new Error("NOSCRIPT No matching script. Please use EVAL.");
    },
    async eval(lua: string) {
      sent.push(lua);
      if (lua.startsWith("#"))
        throw new Error(
          "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'",
        );
      return 1;
    },
  };
  return { redis: redis as unknown as RedisConnection, sent };
}

test("a script that is to run when Redis is full runs on an older server too, without the flag", async () => {
  const { redis, sent } = olderServer();
  const script = new Script("return 1", { whenFull: true });
  assert.deepEqual([await script.run(redis, [], []), await script.run(redis, [], [])], [1, 1]);
  assert.deepEqual(sent, ["#!lua flags=allow-oom\nreturn 1", "return 1", "return 1"]);
  assert.equal(await knowsScriptFlags(redis), false);
});

test("another error of a script is its caller's", async () => {
  const { redis } = olderServer();
  redis.eval = async () => {
    throw new Error("OOM command not allowed when used memory > 'maxmemory'.");
  };
  await assert.rejects(new Script("return 1", { whenFull: true }).run(redis, [], []), /^Error: OOM/);
});
