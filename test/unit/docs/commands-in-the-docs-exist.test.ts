/** Every command in the fenced blocks of the pages: postern takes it, npm has the script, files of the repository are there. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { generatedFiles } from "../../../scripts/generate.ts";
import type { CommandList } from "../../../services/cli/command-line/command.ts";
import { commands } from "../../../services/cli/commands.ts";
import { dispatch } from "../../../services/cli/dispatch.ts";
import { consoleSteps, shellCommands, shellWords } from "../../support/pages.ts";

const root = new URL("../../../", import.meta.url).pathname;
const pages = globSync(["*.md", "docs/*.md", "docs/decisions/*.md", "test/lab/*.md"], { cwd: root }).sort();
const read = (page: string): string => readFileSync(path.join(root, page), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** The command line of today, of which nothing is run. */
const idle: CommandList = Object.fromEntries(
  Object.entries(commands).map(([heading, entries]) => [
    heading,
    entries.map((entry) => ({
      ...entry,
      load: async () => ({ command: { ...(await entry.load()).command, run: async () => 0 } }),
    })),
  ]),
);

/** In front of the words of postern. */
const callers = [["docker", "compose", "exec", "admin"], ["sudo"], ["npx"], ["sudo", "-u", "postern"]];

interface Found {
  command: string;
  words: string[];
}

function commandsOf(page: string): Found[] {
  const text = read(page);
  return [...shellCommands(text), ...consoleSteps(text).map(({ command }) => command)].flatMap((command) =>
    shellWords(command).map((words) => ({ command, words })),
  );
}

/** Where the words of postern begin; -1 when the command is another. */
function posternAt(words: readonly string[]): number {
  const caller = callers.find((each) => each.every((word, at) => words[at] === word)) ?? [];
  return /(?:^|\/)postern$/.test(words[caller.length] ?? "") ? caller.length : -1;
}

async function whyRefused(words: readonly string[]): Promise<string> {
  let errors = "";
  const status = await dispatch({ commands: idle, version: "0" }, words, {
    stdin: process.stdin,
    stdout: { write: () => {} },
    stderr: { write: (text) => (errors += text) },
  });
  return status === 0 ? "" : `${errors}(${status})`;
}

function isEnvironment(word: string): boolean {
  return /^[A-Z_]+=/.test(word);
}

async function whyWrong({ words: given }: Found): Promise<string> {
  const words = given.slice(given.findIndex((word) => !isEnvironment(word)));
  const [program = "", second = "", third = ""] = words;
  if (isEnvironment(program)) return "";
  const at = posternAt(words);
  if (at >= 0) return whyRefused(words.slice(at + 1));
  if (program === "npm" && (second === "run" || second === "test" || second === "start")) {
    const script = second === "run" ? third : second;
    if (!(script in scripts)) return `package.json has no script ${script}`;
    // `npm run demo -- OPTIONS` are options of postern.
    const own = /^bin\/postern (.*)$/.exec(scripts[script] ?? "")?.[1];
    const rest = words.slice(words.indexOf("--") + 1);
    return own === undefined || !words.includes("--") ? "" : whyRefused([...own.split(" "), ...rest]);
  }
  if (program === "npm" || program === "npx") return "";
  if (program === "node" || program === "sh") {
    const file = words.slice(1).find((word) => !word.startsWith("-")) ?? "";
    return existsSync(path.join(root, file)) ? "" : `${file} is not there`;
  }
  return "";
}

test("there are commands to look at", () => {
  const count = pages.flatMap(commandsOf).length;
  assert.ok(count > 60, `${count} commands`);
});

for (const page of pages) {
  if (page === "CHANGELOG.md") continue;
  test(`the commands of ${page} can be run`, async () => {
    for (const found of commandsOf(page)) {
      assert.equal(await whyWrong(found), "", `${page}: ${found.command}`);
    }
  });

  test(`postern takes the commands that ${page} has in its sentences`, async () => {
    const prose = read(page).replaceAll(/^```.*?^```/gms, "");
    for (const [, quoted = ""] of prose.matchAll(/`([^`]+)`/g)) {
      const code = quoted.replaceAll(/\s+/g, " ");
      // With placeholders or several forms at once it is no command to run.
      if (!/^(?:bin\/)?postern [a-z-]+ ./.test(code) || /[…|[\]]|, /.test(code)) continue;
      for (const words of shellWords(code)) {
        if (!/(?:^|\/)postern$/.test(words[0] ?? "")) continue;
        const why = await whyRefused(words.slice(1));
        // A sentence may name a command without its arguments.
        if (!/ needs (?:more arguments|a value)/.test(why)) assert.equal(why, "", `${page}: ${code}`);
      }
    }
  });
}

test("a call of the API names a path that the API has", () => {
  const api = generatedFiles()["docs/api.md"] ?? "";
  const known = [...api.matchAll(/^## (?:GET|POST|DELETE) (\S+)$/gm)].map(
    ([, route = ""]) => new RegExp(`^${route.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
  );
  for (const page of pages) {
    if (page === "CHANGELOG.md") continue;
    for (const [, route = ""] of read(page).matchAll(/(\/api\/v1\/[\w/{}-]*)/g)) {
      const plain = route.replace(/\/$/, "");
      assert.ok(
        known.some((pattern) => pattern.test(plain)),
        `${page}: ${route}`,
      );
    }
  }
});
