/** docs/tour.md, run against the demo: each command, with the output that the page shows. */
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { KnownIds } from "../support/loose-output.ts";
import { consoleSteps } from "../support/pages.ts";
import { waitFor } from "../support/wait-for.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const steps = consoleSteps(readFileSync(`${root}docs/tour.md`, "utf8"));
/** These change something: they are run once. Others are repeated until they print what the page shows. */
const changes = /^printf|postern queue (?:retry|hold|release|remove)/;
const withoutCurl = spawnSync("curl", ["--version"]).status === 0 ? false : "curl is not installed";

test("every command of the tour prints what the tour shows", { skip: withoutCurl }, async () => {
  assert.ok(steps.length >= 12, `${steps.length} commands`);
  const demo = spawn(`${root}bin/postern`, ["demo", "--messages", "4", "--every", "0.1"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  demo.stdout.on("data", (chunk) => {
    said += chunk;
  });
  const ended = new Promise((resolve) => demo.once("exit", resolve));
  try {
    await waitFor("the last message of the demo", () => said.includes('sent     "To all three"'), 60_000);
    const env = { ...process.env, POSTERN_CONFIG: /POSTERN_CONFIG=(\S+)/.exec(said)?.[1] ?? "" };
    const smtp = /SMTP +(\S+)/.exec(said)?.[1] ?? "";
    const ids = new KnownIds();
    for (const { command, output } of steps) {
      const line = ids.inCommand(command).replaceAll("127.0.0.1:2525", smtp);
      let printed = "";
      const run = async (): Promise<boolean> => {
        printed = await shell(line, env);
        return inAnyOrder(output).some((lines) => ids.accepts(lines, printed));
      };
      if (changes.test(command)) assert.ok(await run(), `$ ${command}\nprinted:\n${printed}`);
      else {
        await waitFor(`the output of: ${command}`, run, 60_000).catch(() => {
          assert.equal(printed, output.join("\n"), `$ ${command}`);
        });
      }
    }
    const back =
      /arrived {2}"Not delivered to full@busy\.example: Minutes of Monday" at alice@office\.example/;
    assert.match(said, back);
  } finally {
    demo.kill("SIGTERM");
    await ended;
  }
});

/** The output with the line of a release there, and further down: a free worker may be faster than the line. */
function inAnyOrder(output: readonly string[]): string[][] {
  const at = output.findIndex((line) => / released +by /.test(line));
  if (at < 0) return [[...output]];
  const others = output.toSpliced(at, 1);
  return output.slice(at).map((_, late) => others.toSpliced(at + late, 0, output[at] as string));
}

/** Standard output and error. */
function shell(line: string, env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve) => {
    execFile("sh", ["-c", line], { cwd: root, env }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}
