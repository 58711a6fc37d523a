/** When which fault happens (pure): the same seed gives the same schedule. */
import type { Random } from "./random.ts";

export interface ScheduledFault {
  /** Milliseconds since the start. */
  atMs: number;
  name: string;
  /** Decides the details of this fault. */
  random: Random;
}

/** How often a fault comes, relative to the others, and the shortest run that has it. */
export interface FaultRate {
  name: string;
  weight: number;
  /** It takes so long to play out that a shorter run has no time for it. */
  needsMs: number;
}

/**
 * @param everyMs  between two faults on average
 * @param quietMs  at the end, without a new fault
 */
export function makeSchedule(
  rates: readonly FaultRate[],
  random: Random,
  terms: { durationMs: number; everyMs: number; quietMs: number },
): ScheduledFault[] {
  const { durationMs, everyMs, quietMs } = terms;
  const faults: ScheduledFault[] = [];
  let atMs = everyMs;
  while (atMs < durationMs - quietMs) {
    const possible = rates.filter(({ needsMs }) => needsMs <= durationMs - atMs);
    const name = pickByWeight(possible, random);
    if (name !== undefined)
      faults.push({ atMs: Math.round(atMs), name, random: random.fork(`fault ${faults.length}`) });
    atMs += everyMs * (0.3 + 1.4 * random.next());
  }
  return faults;
}

function pickByWeight(rates: readonly FaultRate[], random: Random): string | undefined {
  const total = rates.reduce((sum, { weight }) => sum + weight, 0);
  let left = random.next() * total;
  for (const { name, weight } of rates) {
    left -= weight;
    if (left < 0) return name;
  }
  return rates.at(-1)?.name;
}
