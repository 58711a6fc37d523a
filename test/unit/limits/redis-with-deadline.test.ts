import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { RedisWithDeadline } from "../../../shared/limits/redis-with-deadline.ts";
import type { RedisConnection } from "../../../shared/runtime/redis.ts";
import { Script } from "../../../shared/runtime/redis-script.ts";

const script = new Script("return 1");

/** A connection whose scripts end as `answer` does. */
function connectionTo(answer: () => Promise<unknown>, status = "ready") {
  return Object.assign(new EventEmitter(), { status, evalsha: answer }) as unknown as RedisConnection &
    EventEmitter & { status: string };
}

test("an answer is read, and Redis goes on being asked", async () => {
  const redis = new RedisWithDeadline(connectionTo(async () => "3"));
  assert.equal(redis.starting, undefined);
  assert.equal(await redis.run(script, [], [], Number), 3);
  assert.ok(redis.isAvailable);
});

test("after an error, an answer that makes no sense, or none in time, Redis is left alone for a while", async () => {
  const never = new Promise<never>(() => {});
  for (const [what, answer, read] of [
    ["an error", () => Promise.reject(new Error("READONLY")), Number],
    ["no sense", async () => "{", (text: unknown) => JSON.parse(String(text))],
    ["none in time", () => never, Number],
  ] as const) {
    const redis = new RedisWithDeadline(connectionTo(answer));
    const startMs = performance.now();
    assert.equal(await redis.run(script, [], [], read), undefined, what);
    assert.ok(performance.now() - startMs < 30_000, what);
    assert.ok(!redis.isAvailable, what);
  }
});

test("right after the start requests wait for the connection, but not for ever", async () => {
  const connecting = connectionTo(async () => 1, "connecting");
  const redis = new RedisWithDeadline(connecting);
  assert.ok(!redis.isAvailable);
  assert.ok(redis.starting !== undefined);
  connecting.status = "ready";
  connecting.emit("ready");
  await redis.starting;
  assert.equal(redis.starting, undefined);
  assert.ok(redis.isAvailable);

  const away = new RedisWithDeadline(connectionTo(async () => 1, "connecting"));
  await away.starting;
  assert.equal(away.starting, undefined);
  assert.ok(!away.isAvailable);
});
