import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadConfig } from "../../shared/config/load.ts";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

test("in the demo mail arrives, is deferred and comes back; Ctrl-C ends it and nothing is left", async () => {
  const demo = spawn(program, ["demo", "--messages", "4", "--every", "0.1"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [demo.stdout, demo.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
    });
  }
  const ended = new Promise<number | null>((resolve) => demo.once("exit", resolve));
  try {
    for (const line of [
      /sent {5}"Hello Bob" to bob@customer\.example: queued as \w+/,
      /arrived {2}"Hello Bob" at bob@customer\.example\n/,
      /deferred carol@busy\.example: 452 4\.2\.2 mailbox full; the gateway will try again/,
      /refused {2}nobody@customer\.example: 550 5\.1\.1 no such mailbox; the gateway notifies the sender/,
      /arrived {2}"Not delivered to nobody@customer\.example.*" at alice@office\.example, from the gateway itself/,
    ]) {
      await waitFor(`${line} in the demo`, () => {
        assert.equal(demo.exitCode, null, output);
        return line.test(output);
      });
    }
    const config = /POSTERN_CONFIG=(\S+)/.exec(output)?.[1] ?? "";
    assert.equal(loadConfig({ file: config }).kind, "ok", readFileSync(config, "utf8"));
    const dashboard = /dashboard +(\S+)/.exec(output)?.[1] ?? "";
    assert.equal((await fetch(dashboard)).status, 200);

    demo.kill("SIGINT");
    assert.equal(await ended, 0, output);
    assert.equal(existsSync(dirname(config)), false);
    await assert.rejects(fetch(dashboard));
  } finally {
    demo.kill("SIGTERM");
  }
});

test("an option that is no number is wrong use", async () => {
  const demo = spawn(program, ["demo", "--every", "often"], { stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  demo.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  assert.equal(await new Promise((resolve) => demo.once("close", resolve)), 2);
  assert.match(errors, /takes a number between 0 and 1000000 with --every, not 'often'/);
});
