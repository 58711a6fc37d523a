/** The files of a spool that cannot be read now, so that each is reported once and passed by. */

import type { OnFault } from "./fault.ts";
import type { FileFault } from "./spool.ts";

/** A disk that fails altogether has a fault for every file: the first ones are enough to name it. */
const mostFaults = 1000;
/** A fault that was not met again for so long is over, or its file is gone. */
const forgetAfterMs = 3_600_000;

interface KnownFault {
  reason: string;
  /** By `performance.now()`. */
  metAtMs: number;
}

export class FileFaults {
  readonly #onFault: OnFault;
  readonly #known = new Map<string, KnownFault>();

  constructor(onFault: OnFault) {
    this.#onFault = onFault;
  }

  /** @param place  path of the file below the spool's directory */
  met(place: string, error: unknown): void {
    this.#forgetOld();
    const isNew = !this.#known.has(place);
    if (isNew && this.#known.size >= mostFaults) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#known.set(place, { reason, metAtMs: performance.now() });
    if (isNew) this.#onFault({ kind: "unreadable", place, error });
  }

  /** All of the file was read. */
  over(place: string): void {
    if (this.#known.size > 0) this.#known.delete(place);
  }

  list(): FileFault[] {
    this.#forgetOld();
    return [...this.#known].map(([place, { reason }]) => ({ place, reason }));
  }

  #forgetOld(): void {
    const oldestMs = performance.now() - forgetAfterMs;
    for (const [place, { metAtMs }] of this.#known) if (metAtMs < oldestMs) this.#known.delete(place);
  }
}
