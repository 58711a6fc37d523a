import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { attack } from "../../../fuzz/proxy/attack.ts";
import { guards } from "../../../fuzz/proxy/guards.ts";

const run = fileURLToPath(new URL("../../../fuzz/proxy/run.ts", import.meta.url));

test("10,000 hostile dialogues with servers that end lines otherwise, split them, wrap sizes or answer early: no policy is passed by", () => {
  const ended = new Set<string>();
  let mails = 0;
  for (let seed = 1; seed <= 10_000; seed++) {
    const result = attack(seed);
    assert.equal(result.violation, undefined, `npm run fuzz:proxy -- --dialogues 1 --seed ${seed}`);
    if (result.ended !== undefined) ended.add(result.ended);
    mails += result.mails;
  }
  assert.ok(mails > 1000, `${mails} MAILs passed: enough to mean something`);
  for (const reason of [
    "not-smtp",
    "sasl-layer",
    "unclear-end-of-data",
    "early-reply",
    "unexpected-reply",
    "misplaced-reply",
  ])
    assert.ok(ended.has(reason), reason);
});

test("each guard that is taken out of the source is missed: a hostile dialogue gets past a policy", async () => {
  for (const guard of Object.keys(guards)) {
    const args = [run, "--seed", "1", "--dialogues", "100000", "--without", guard];
    const found = await promisify(execFile)(process.execPath, args).then(
      () => undefined,
      (error: { code: number; stdout: string }) => error,
    );
    assert.equal(found?.code, 1, `without: ${guard}`);
    assert.match(found?.stdout ?? "", /"violation": "/, `without: ${guard}`);
  }
});
