/** Runs a shell command at a pseudo-terminal, by script(1) of util-linux: what a person at a terminal sees and types. */
import { execFileSync, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import { waitFor } from "./wait-for.ts";

export interface AtTerminal {
  /** All that was written to the terminal so far. */
  seen(): string;
  type(text: string): void;
  /** Resolves when the command has ended. */
  ended(): Promise<void>;
}

/** @returns `undefined` without script(1), and the test is skipped */
export function runAtTerminal(t: TestContext, command: string): AtTerminal | undefined {
  if (!hasScript()) {
    t.skip("the program script of util-linux is missing");
    return undefined;
  }
  const { CI: _, ...env } = process.env;
  const child = spawn("script", ["-qec", `stty rows 24 cols 80; ${command}`, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...env, TERM: "xterm", SHELL: "/bin/sh" },
  });
  t.after(() => child.kill("SIGKILL"));
  let seen = "";
  let hasEnded = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    seen += text;
  });
  child.once("close", () => {
    hasEnded = true;
  });
  return {
    seen: () => seen,
    type: (text) => child.stdin.write(text),
    async ended() {
      await waitFor("the command at the terminal to end", () => hasEnded);
    },
  };
}

function hasScript(): boolean {
  try {
    execFileSync("script", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
