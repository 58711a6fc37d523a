/** The corpus: a directory for each target, a file for each input. What once failed stays in it. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const directory = fileURLToPath(new URL("../corpus/", import.meta.url));
const targets = fileURLToPath(new URL("../targets/", import.meta.url));

export interface Entry {
  name: string;
  input: Buffer;
}

export function targetNames(): string[] {
  return readdirSync(targets)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -".ts".length))
    .sort();
}

export function corpusOf(target: string): Entry[] {
  const place = path.join(directory, target);
  if (!existsSync(place)) return [];
  return readdirSync(place)
    .sort()
    .map((name) => ({ name, input: readFileSync(path.join(place, name)) }));
}

/** @param kind  `crash` or `hang` for what failed, `reach` for what reached something new. @returns its path */
export function keep(target: string, kind: "crash" | "hang" | "reach", input: Buffer): string {
  const place = path.join(directory, target);
  mkdirSync(place, { recursive: true });
  const file = path.join(place, `${kind}-${createHash("sha1").update(input).digest("hex").slice(0, 10)}`);
  writeFileSync(file, input);
  return path.relative(process.cwd(), file);
}
