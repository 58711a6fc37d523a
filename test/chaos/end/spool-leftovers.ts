/** What a stopped gateway has left in its spool: each file must have a message that is not settled, or be of the spool itself. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createFsSpool } from "../../../shared/spool/fs/fs-spool.ts";

/** A writer whose heartbeat does not change for so long is taken for dead: all are. */
const deadAfterMs = 200;
/** Enough for segments, then logs, then bodies, each of which waits for the one before. */
const rounds = 6;

/**
 * Collects the spool as the gateway does, without its pauses, and lists what stays for nothing.
 * @param isDamaged  the run has damaged the spool: what is put aside for the operator is no leftover
 */
export async function spoolLeftovers(directory: string, isDamaged: boolean): Promise<string[]> {
  const spool = createFsSpool({ directory, deadAfterMs, forgetAfterMs: 0, orphanAfterMs: 0 });
  const kept = new Set<string>();
  const ids = new Set<string>();
  try {
    for (let round = 0; round < rounds; round++) {
      await spool.collect();
      await wait(deadAfterMs + 100);
    }
    const onUnreadable = ({ id, locator }: { id: string; locator: { segment: string } }): void => {
      kept.add(locator.segment);
      ids.add(id);
    };
    for await (const { meta, locator } of spool.unsettled({ onUnreadable })) {
      kept.add(locator.segment);
      ids.add(meta.id);
    }
  } finally {
    await spool.close();
  }
  const list = (place: string): string[] =>
    existsSync(join(directory, place)) ? readdirSync(join(directory, place)) : [];
  const isKept: Record<string, (name: string) => boolean> = {
    segments: (name) => kept.has(name.replace(/\.seg$/, "")),
    own: (name) => ids.has(name.replace(/\.msg$/, "")),
    // A body has the name of its writer: one is there for an unsettled message, or none.
    large: () => ids.size > 0,
    settled: () => ids.size > 0,
    moving: () => false,
    writers: () => false,
    damaged: () => isDamaged,
  };
  const left: string[] = [];
  for (const name of readdirSync(directory)) {
    const keeps = isKept[name];
    if (keeps === undefined) {
      if (name !== "holds.json") left.push(`${name} in the spool's directory`);
      continue;
    }
    for (const file of list(name)) if (!keeps(file)) left.push(`${name}/${file} stays for nothing`);
  }
  return left;
}
