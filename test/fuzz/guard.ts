/** Guards of the source, and how to take one out while it is loaded: a fuzzer that does not notice is of no use. */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

export interface Guard {
  /** From the top of the source tree. */
  file: string;
  /** Stands in exactly one place. */
  from: string;
  to: string;
}

const top = new URL("../../", import.meta.url);

/** To be called before the file is imported. @throws Error when the guard is not where it is said to be */
export function takeOut(guard: Guard): void {
  const file = fileURLToPath(new URL(guard.file, top));
  const parts = readFileSync(file, "utf8").split(guard.from);
  if (parts.length !== 2) throw new Error(`${guard.file} has \`${guard.from}\` ${parts.length - 1} times`);
  registerHooks({
    load(url, context, next) {
      if (!url.startsWith("file:") || fileURLToPath(url) !== file) return next(url, context);
      return { format: "module-typescript", source: parts.join(guard.to), shortCircuit: true };
    },
  });
}
