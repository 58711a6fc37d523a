/**
 * Makes what `npm pack` packs: `npm pack` calls `prepack` and `postpack` of package.json, which run this file.
 *
 * Node strips no types below node_modules, so the package has JavaScript: `dist` is the tree of `shared` and `services` with
 * the types blanked out, which leaves every line and column where it is in the source. `npm-shrinkwrap.json` is the lock
 * file without what is for development only: an installed package gets the versions, and the contents, that were tested.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import path from "node:path";

/** Source that runs; the rest of the repository is for those who change it. */
const sourceDirectories = ["shared", "services"];
const output = "dist";
const shrinkwrap = "npm-shrinkwrap.json";

/** Specifiers and URLs of our own files, `"../main.ts"`. The quotes may be those of a template. */
const ownFile = /(["'`])(\.{1,2}\/[^"'`\n]*)\.ts\1/g;

/** @param source  TypeScript whose types can be erased @returns JavaScript with each token at its line and column */
export function toJavaScript(source: string): string {
  return stripTypeScriptTypes(source).replace(ownFile, "$1$2.js$1");
}

interface LockFile {
  packages: Record<string, { dev?: boolean; devOptional?: boolean; devDependencies?: unknown }>;
}

/** @returns the lock file of an installation without development packages */
export function withoutDevelopment<Lock extends LockFile>(lock: Lock): Lock {
  const packages = Object.entries(lock.packages)
    // `devOptional`: for development, and a peer that another package may do without.
    .filter(([, { dev, devOptional }]) => dev !== true && devOptional !== true)
    .map(([name, { devDependencies: _, ...kept }]) => [name, kept]);
  return { ...lock, packages: Object.fromEntries(packages) };
}

/** Writes `dist` and `npm-shrinkwrap.json` at the top of the repository. */
export function prepack(root: string): void {
  postpack(root);
  const read = (file: string): string => readFileSync(path.join(root, file), "utf8");
  for (const directory of sourceDirectories) {
    const files = readdirSync(path.join(root, directory), { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile())) {
      const from = path.join(file.parentPath, file.name);
      const to = path.join(root, output, path.relative(root, from)).replace(/\.ts$/, ".js");
      mkdirSync(path.dirname(to), { recursive: true });
      if (to.endsWith(".js") && from.endsWith(".ts")) {
        writeFileSync(to, toJavaScript(readFileSync(from, "utf8")));
      } else {
        cpSync(from, to);
      }
    }
  }
  // Programs read their version two directories above themselves.
  const { name, version, type } = JSON.parse(read("package.json")) as Record<string, unknown>;
  writeFileSync(path.join(root, output, "package.json"), `${JSON.stringify({ name, version, type })}\n`);
  const lock = JSON.parse(read("package-lock.json")) as LockFile;
  writeFileSync(path.join(root, shrinkwrap), `${JSON.stringify(withoutDevelopment(lock), null, 2)}\n`);
}

/** Removes what prepack() wrote: with a shrinkwrap beside it, npm would pass by the lock file. */
export function postpack(root: string): void {
  rmSync(path.join(root, output), { recursive: true, force: true });
  rmSync(path.join(root, shrinkwrap), { force: true });
}

if (import.meta.main) {
  const root = path.join(import.meta.dirname, "..");
  if (process.argv[2] === "after") postpack(root);
  else prepack(root);
}
