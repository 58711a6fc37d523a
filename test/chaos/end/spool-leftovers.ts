/** What a stopped gateway has left in its spool: each file must have a message that is not settled, or be of the spool itself. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createFsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import type { Spool } from "../../../shared/spool/spool.ts";

/** A writer whose heartbeat does not change for so long is taken for dead: all are. */
const deadAfterMs = 200;
/** Segments go first, then logs, then bodies, each when the one before is known to be gone. */
const defaultRounds = 40;

/**
 * Collects the spool as the gateway does, without its pauses, and lists what stays for nothing.
 * @param isDamaged  the run has damaged the spool: what is put aside for the operator is no leftover
 * @param rounds  how often it collects before what is still there counts as left
 */
export async function spoolLeftovers(
  directory: string,
  isDamaged: boolean,
  rounds = defaultRounds,
): Promise<string[]> {
  const spool = createFsSpool({ directory, deadAfterMs, forgetAfterMs: 0, orphanAfterMs: 0, logAgeMs: 0 });
  let unsettled: Unsettled = { segments: new Set(), ids: new Set() };
  try {
    for (let round = 0; round < rounds; round++) {
      await spool.collect();
      unsettled = await unsettledIn(spool);
      // Its own heartbeat goes when it is closed.
      if (round > 1 && leftIn(directory, unsettled, isDamaged).every((file) => /^writers\//.test(file)))
        break;
      await wait(deadAfterMs + 100);
    }
  } finally {
    await spool.close();
  }
  return leftIn(directory, unsettled, isDamaged);
}

interface Unsettled {
  segments: Set<string>;
  ids: Set<string>;
}

async function unsettledIn(spool: Spool): Promise<Unsettled> {
  const found: Unsettled = { segments: new Set(), ids: new Set() };
  const note = (id: string, segment: string): void => {
    found.segments.add(segment);
    found.ids.add(id);
  };
  const onUnreadable = ({ id, locator }: { id: string; locator: { segment: string } }): void =>
    note(id, locator.segment);
  for await (const { meta, locator } of spool.unsettled({ onUnreadable })) note(meta.id, locator.segment);
  return found;
}

function leftIn(directory: string, { segments, ids }: Unsettled, isDamaged: boolean): string[] {
  const isKept: Record<string, (name: string) => boolean> = {
    segments: (name) => segments.has(name.replace(/\.seg$/, "")),
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
    const files = existsSync(join(directory, name)) ? readdirSync(join(directory, name)) : [];
    for (const file of files) if (!keeps(file)) left.push(`${name}/${file} stays for nothing`);
  }
  return left;
}
