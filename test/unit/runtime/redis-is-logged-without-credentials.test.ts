import assert from "node:assert/strict";
import { test } from "node:test";
import { describeRedis } from "../../../shared/runtime/redis.ts";

test("the address of Redis is logged without user and password", () => {
  assert.equal(describeRedis({ url: "redis://user:secret@redis.example:6380/2" }), "redis.example:6380/2");
  assert.equal(describeRedis({ url: "rediss://redis.example" }), "redis.example:6379");
  assert.equal(describeRedis({ url: "unix:///run/redis.sock?db=1" }), "/run/redis.sock");
  assert.equal(
    describeRedis({ sentinels: [{ host: "s1", port: 26379 }], name: "mail", password: "secret" }),
    "mail of sentinels s1:26379",
  );
  assert.equal(
    describeRedis({ cluster: [{ host: "::1", port: 7000 }], password: "secret" }),
    "cluster ::1:7000",
  );
});
