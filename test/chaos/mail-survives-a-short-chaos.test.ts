/** The short form of `npm run chaos`. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { unlessInstalled } from "../support/programs.ts";
import { type ChaosOptions, type ChaosResult, runChaos } from "./chaos.ts";
import { describeResult } from "./print.ts";

async function run(options: Partial<ChaosOptions> & { seed: number }): Promise<ChaosResult> {
  const directory = mkdtempSync(join(tmpdir(), "postern-chaos-"));
  const result = await runChaos({
    directory,
    durationMs: 8_000,
    perSecond: 10,
    faultEveryMs: 1_000,
    onProgress: () => {},
    ...options,
  });
  rmSync(directory, { recursive: true, force: true });
  return result;
}

describe("the whole gateway", { skip: unlessInstalled("redis-server") }, () => {
  // It waits for all mail to reach its end, whatever time that takes: minutes, on a machine that is busy with much else.
  const patient = { timeout: 900_000 };

  test("loses nothing, and doubles nothing without a cause, whatever is killed", patient, async (t) => {
    const seed = Math.floor(Date.now() / 1000);
    t.diagnostic(`npm run chaos -- --minutes 0.1333 --seed ${seed} --rate 10 --every 1`);
    const result = await run({ seed });
    const what = describeResult(result);
    for (const line of what) t.diagnostic(line);
    assert.ok(result.messages > 10, what.join("\n"));
    assert.deepEqual([result.lost, result.unexplained], [[], []], what.join("\n"));
  });

  test("is found out when a message is lost or doubled", patient, async () => {
    const result = await run({ seed: 1, durationMs: 0, plants: ["duplicate", "loss"] });
    const what = describeResult(result).join("\n");
    assert.equal(result.lost.length, 1, what);
    assert.equal(result.unexplained.length, 1, what);
  });
});
