/** `npm run fuzz:guards`: takes each guard of guards.ts out of the source and sees that fuzzing misses it. About a minute. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Order } from "./engine/order.ts";
import { watch } from "./engine/watch.ts";
import { guards } from "./guards.ts";

const runner = fileURLToPath(new URL("run.ts", import.meta.url));

test("each guard that is taken out of the source is missed", async () => {
  const unnoticed: string[] = [];
  for (const [without, { target, endsProcess }] of Object.entries(guards)) {
    if (endsProcess === true) {
      // One allocation beyond its heap ends not only a thread.
      const words = ["--target", target, "--without", without, "--runs", "5000", "--seed", "1"];
      const { status } = spawnSync(process.execPath, [runner, ...words], { stdio: "ignore" });
      assert.notEqual(status, 2, "the runner was not understood");
      if (status === 0) unnoticed.push(without);
      continue;
    }
    const given: Order = { target, without, seed: 1, runs: 5_000, cases: 300, explores: false };
    if ((await watch(given, { stallMs: 10_000 })).kind === "passed") unnoticed.push(without);
  }
  assert.deepEqual(unnoticed, []);
});
