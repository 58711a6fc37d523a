/** Which objects are joined into one (pure): those that are mostly settled, and small ones, once they have waited long. */

export interface CompactionCandidate {
  key: string;
  size: number;
  ageMs: number;
  /** Messages in it, and those that are not settled. */
  messages: number;
  unsettled: number;
}

export interface CompactionLimits {
  /** Age from which an object is a candidate. */
  moveAfterMs: number;
  /** Octets of the joined object; it is read and written as a whole. */
  targetBytes: number;
}

/** An object of which at most this share is not settled is rewritten. */
const sparseShare = 0.5;
/** Smaller objects are joined even when nothing of them is settled: fewer objects are listed and read sooner. */
const smallBytes = 1024 * 1024;
/** Fewer objects are joined only when that frees a good part of a joined object. */
const fewestObjects = 8;

/**
 * @param candidates  the oldest first
 * @returns groups of keys, each for one joined object
 */
export function planCompaction(
  candidates: readonly CompactionCandidate[],
  { moveAfterMs, targetBytes }: CompactionLimits,
): string[][] {
  const groups: { keys: string[]; live: number; freed: number }[] = [];
  for (const { key, size, ageMs, messages, unsettled } of candidates) {
    if (ageMs < moveAfterMs || unsettled === 0) continue;
    const share = unsettled / messages;
    if (share > sparseShare && size >= smallBytes) continue;
    const live = size * share;
    let group = groups.at(-1);
    if (group === undefined || group.live + live > targetBytes) {
      group = { keys: [], live: 0, freed: 0 };
      groups.push(group);
    }
    group.keys.push(key);
    group.live += live;
    group.freed += size - live;
  }
  return groups
    .filter(({ keys, freed }) => keys.length >= fewestObjects || freed >= targetBytes / 2)
    .map(({ keys }) => keys);
}
