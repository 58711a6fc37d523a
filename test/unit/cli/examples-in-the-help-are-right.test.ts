/** The examples of every command, with the parser and the options that it has today; nothing is run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandList } from "../../../services/cli/command-line/command.ts";
import { commands } from "../../../services/cli/commands.ts";
import { dispatch } from "../../../services/cli/dispatch.ts";

const ran: string[] = [];
const idle: CommandList = Object.fromEntries(
  Object.entries(commands).map(([heading, entries]) => [
    heading,
    entries.map((entry) => ({
      ...entry,
      async load() {
        const { command } = await entry.load();
        const run = async () => {
          ran.push(entry.name);
          return 0;
        };
        return { command: { ...command, run } };
      },
    })),
  ]),
);

/** As a shell splits it: quotes, and an end at a pipe, a redirection or the end. */
function wordsOf(example: string): string[] {
  const [line = ""] = example.split(/ [|<>] /);
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

for (const entry of Object.values(commands).flat()) {
  test(`the examples of postern ${entry.name}`, async () => {
    const { command } = await entry.load();
    assert.ok(command.examples.length > 0);
    for (const [purpose, example] of command.examples) {
      let err = "";
      ran.length = 0;
      const status = await dispatch({ commands: idle, version: "0" }, wordsOf(example), {
        stdin: process.stdin,
        stdout: { write: () => {} },
        stderr: { write: (text) => (err += text) },
      });
      assert.deepEqual([status, err], [0, ""], example);
      assert.equal(ran.length, 1, example);
      assert.ok(example.length <= 110 && purpose.length <= 76, example);
    }
  });
}
