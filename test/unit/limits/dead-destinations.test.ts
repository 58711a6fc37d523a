import assert from "node:assert/strict";
import { test } from "node:test";
import { deadDestinationPolicy } from "../../../shared/limits/dead-destinations.ts";
import { testConfig } from "../../support/config.ts";

test("a dead destination is remembered for less time than a message waits by itself", () => {
  assert.deepEqual(deadDestinationPolicy(testConfig()), { firstMs: 60_000, maxMs: 600_000 });
  const quick = testConfig({ queue: { retry: ["2s", "1m"] } });
  assert.deepEqual(deadDestinationPolicy(quick), { firstMs: 1000, maxMs: 30_000 });
  assert.equal(deadDestinationPolicy(testConfig({ limits: { dead_destination: 0 } })).firstMs, 0);
});
