/**
 * How long destinations keep attempts busy, and what slow ones may take of a priority class: slow hosts hold a worker's
 * attempts for minutes each, and must leave some to the rest of the mail, however many they are.
 */
import type { PriorityClass } from "../../limits/priority-class.ts";

/** An attempt that has a connection for longer is slow. */
export const slowAfterMs = 10_000;
/** For how long a destination is known by its last attempt. */
const knownForMs = 600_000;
/** Destinations known before the oldest are forgotten. */
const maxKnown = 10_000;

/** Of the jobs of a priority class, those that slow destinations may keep busy. */
const slowShare = 1 / 2;
/** The same together with destinations that are not known: they may turn out to be slow, all at once. */
const notQuickShare = 3 / 4;

export type Pace = "quick" | "unknown" | "slow";

/** Whether one more attempt at a destination of this pace leaves enough to the others. */
export function leavesRoom(
  pace: Pace,
  { jobs }: Pick<PriorityClass, "jobs">,
  busy: { slow: number; unknown: number },
): boolean {
  if (pace === "quick") return true;
  if (busy.slow + busy.unknown >= Math.ceil(jobs * notQuickShare)) return false;
  return pace === "unknown" || busy.slow < Math.ceil(jobs * slowShare);
}

export class Paces {
  /** The last to be observed stands last. */
  readonly #known = new Map<string, { pace: Pace; atMs: number }>();

  of(destination: string, nowMs: number): Pace {
    const known = this.#known.get(destination);
    return known === undefined || nowMs - known.atMs > knownForMs ? "unknown" : known.pace;
  }

  /** An attempt has ended. @param tookMs  how long it had its connection */
  observe(destination: string, tookMs: number, nowMs: number): void {
    this.#known.delete(destination);
    this.#known.set(destination, { pace: tookMs > slowAfterMs ? "slow" : "quick", atMs: nowMs });
    if (this.#known.size <= maxKnown) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}
