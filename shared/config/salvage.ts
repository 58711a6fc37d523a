/** Removes the invalid parts of a configuration, so that the rest can still be checked. Pure. */

import type { Path } from "./config-error.ts";
import { type Config, configSchema } from "./schema.ts";

export interface Salvage {
  config: Config;
  /** The path in the file of a value in `config`: removed list entries have shifted the others. */
  originalPath(path: Path): Path;
}

/** Most parts that are removed: bounds the work on a file that is no configuration at all. */
const maxRounds = 300;

/** @returns `undefined` when too much is invalid */
export function salvageConfig(root: unknown): Salvage | undefined {
  const rest = new ValidPart(root);
  for (let round = 0; round < maxRounds; round++) {
    const parsed = configSchema.safeParse(rest.value);
    if (parsed.success) return { config: parsed.data, originalPath: (path) => rest.originalPath(path) };
    const issue = parsed.error.issues[0];
    if (issue === undefined) return undefined;
    if (issue.code === "unrecognized_keys")
      for (const key of issue.keys) rest.remove([...issue.path, key] as Path);
    else rest.remove(issue.path as Path);
  }
  return undefined;
}

/** A substitute for an invalid or missing required value, where removing its parent would remove too much. */
function standIn(path: Path): unknown {
  const [top, index, key, ...rest] = path;
  if (top === "hostname") return "localhost";
  if (top !== "listeners" || rest.length > 0) return undefined;
  if (index === undefined) return [{ name: "none", address: "127.0.0.1", port: 0 }];
  if (key === "port") return 0;
  return key === "name" ? `none-${index}` : undefined;
}

type Container = Record<string | number, unknown> | unknown[];

class ValidPart {
  value: Record<string, unknown>;
  /** For each list: the original indexes of its entries. */
  readonly #indexes = new WeakMap<object, number[]>();

  constructor(root: unknown) {
    const copy = structuredClone(root);
    this.value = typeof copy === "object" && copy !== null && !Array.isArray(copy) ? { ...copy } : {};
  }

  /** Removes the value at the path; where a required key is missing, removes the value that lacks it. */
  remove(path: Path): void {
    const parents: Container[] = [];
    let parent: unknown = this.value;
    for (const step of path) {
      if (typeof parent !== "object" || parent === null) break;
      parents.push(parent as Container);
      parent = (parent as Record<string | number, unknown>)[step];
    }
    const last = path.at(-1);
    const container = parents.at(-1);
    const substitute = standIn(path);
    if (substitute !== undefined && last !== undefined && container !== undefined) {
      (container as Record<string | number, unknown>)[last] = substitute;
      return;
    }
    for (let depth = Math.min(path.length, parents.length) - 1; depth >= 0; depth--) {
      const container = parents[depth];
      const step = path[depth];
      if (container === undefined || step === undefined || !Object.hasOwn(container, step)) continue;
      this.#removeFrom(container, step);
      return;
    }
  }

  originalPath(path: Path): Path {
    const original: (string | number)[] = [];
    let container: unknown = this.value;
    for (const step of path) {
      const indexes =
        typeof container === "object" && container !== null ? this.#indexes.get(container) : undefined;
      original.push(typeof step === "number" ? (indexes?.[step] ?? step) : step);
      container = (container as Record<string | number, unknown> | undefined)?.[step];
    }
    return original;
  }

  #removeFrom(container: Container, step: string | number): void {
    if (!Array.isArray(container)) {
      delete container[step];
      return;
    }
    const indexes = this.#indexes.get(container) ?? container.map((_, index) => index);
    this.#indexes.set(container, indexes);
    indexes.splice(Number(step), 1);
    container.splice(Number(step), 1);
  }
}
