import assert from "node:assert/strict";
import { test } from "node:test";
import { configurationEntries } from "../../../shared/config/reference.ts";
import {
  classedKeys,
  describeEffect,
  followedByWorkers,
  needsRestart,
} from "../../../shared/config/takes-effect.ts";

test("every key of the schema says when a change takes effect, and no other key does", () => {
  const paths = configurationEntries().map(({ path }) => path);
  const isSection = (path: string) =>
    paths.some((other) => other.startsWith(`${path}.`) || other.startsWith(`${path}[`));
  const keys = paths.filter((path) => !isSection(path));
  const classed = new Set(classedKeys());
  const missing = keys.filter((key) => !classed.has(key));
  const unknown = [...classed].filter((key) => !keys.includes(key));
  assert.deepEqual(
    { missing, unknown },
    { missing: [], unknown: [] },
    "a new key needs a row in shared/config/takes-effect.ts: `reload` when the services read it for each session or attempt, else the services that must be started again",
  );
});

test("addresses, the data directory and Redis need a restart of those who use them", () => {
  assert.ok(needsRestart("listeners[].port", "ingress"));
  assert.ok(!needsRestart("listeners[].port", "delivery"), "who listens elsewhere can be read at any time");
  for (const service of ["ingress", "delivery", "bounce", "admin"] as const) {
    assert.ok(needsRestart("data", service));
    assert.ok(needsRestart("redis.url", service));
    assert.ok(!needsRestart("relay.routes[].via", service));
  }
  assert.deepEqual(
    ["data", "limits.message", "intercept.ports", "intercept.pass_ports"].map(describeEffect),
    ["restart", "reload", "`intercept up`", "reload"],
  );
});

test("a rolling restart of workers is enough for what concerns them alone", () => {
  const keys = {
    "listeners[].port (submission)": true,
    "listeners (submission is new)": true,
    "delivery.concurrency": true,
    "log.format": true,
    "events.keep": true,
    data: false,
    "redis.url": false,
    "redis.tls.ca": false,
    "health.port": false,
    "limits.message": false,
  };
  for (const [key, isEnough] of Object.entries(keys)) assert.equal(followedByWorkers(key), isEnough, key);
});
