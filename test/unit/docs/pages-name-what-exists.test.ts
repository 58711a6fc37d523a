/** Files, links, headings and npm scripts that the pages for people name exist. */
import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";

const root = new URL("../../../", import.meta.url).pathname;
const pages = globSync(["*.md", "docs/**/*.md", "test/lab/*.md"], { cwd: root }).sort();
const { scripts, dependencies } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
};

/** Text in backquotes outside of code blocks. */
function inlineCode(text: string): string[] {
  const prose = text.replaceAll(/^```.*?^```/gms, "");
  return [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
}

/** Whether the text means a file of the repository: it has a folder, or an extension that files here have. */
function isPath(code: string): boolean {
  if (!/^\.?[a-zA-Z][\w.-]*(\/[\w.*-]+)*\/?$/.test(code)) return false;
  return code.includes("/") || /\.(ts|json|ya?ml|md|sh|conf|service)$/.test(code);
}

/** Files that a running gateway or a program makes. */
const madeLater = /^(data|bench\/results)(\/|$)/;

function isThere(page: string, code: string): boolean {
  const [first = ""] = code.split("/");
  if (madeLater.test(code)) return true;
  // Built files are those of a package: nothing is built here.
  if (first === "dist") return globSync(`node_modules/*/${code}`, { cwd: root }).length > 0;
  if (first in dependencies) return URL.canParse(import.meta.resolve(code));
  // `services/NAME/main.ts` is each service's; a name alone is a file somewhere.
  const pattern = (code.includes("/") ? code : `**/${code}`).replaceAll(/\b[A-Z]{2,}\b(?!\.)/g, "*");
  return [root, path.join(root, path.dirname(page))].some(
    (from) => globSync([code, pattern], { cwd: from, exclude: ["node_modules"] }).length > 0,
  );
}

/** As GitHub makes them from headings. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test("there are pages to read", () => {
  for (const page of ["README.md", "CHANGELOG.md", "docs/flow.md"]) assert.ok(pages.includes(page), page);
});

for (const page of pages) {
  const text = readFileSync(path.join(root, page), "utf8");

  test(`${page} names files that exist`, () => {
    const missing = inlineCode(text).filter((code) => isPath(code) && !isThere(page, code));
    assert.deepEqual(missing, []);
  });

  test(`${page} links to pages and headings that exist`, () => {
    for (const [, link = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [file = "", heading] = link.split("#");
      const target = file === "" ? page : path.join(path.dirname(page), file);
      assert.ok(existsSync(path.join(root, target)), `${link}: ${target} is not there`);
      if (heading === undefined) continue;
      const headings = anchors(readFileSync(path.join(root, target), "utf8"));
      assert.ok(headings.includes(heading), `${link}: there is no such heading in ${target}`);
    }
  });

  test(`${page} names npm scripts that exist`, () => {
    const named = [...text.matchAll(/\bnpm run ([\w:-]+)/g)].map(([, name = ""]) => name);
    for (const [, name = ""] of text.matchAll(/\bnpm (test|start)\b/g)) named.push(name);
    const missing = named.filter((name) => !(name in scripts));
    assert.deepEqual(missing, []);
  });
}

test("no page has the marks of an unfinished merge", () => {
  for (const page of pages) {
    assert.doesNotMatch(readFileSync(path.join(root, page), "utf8"), /^(<{7}|={7}|>{7})( |$)/m, page);
  }
});
