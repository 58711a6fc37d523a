/**
 * Frees settle logs: a log goes when no message that it names is there any more; of one that is mostly so, the rest
 * is written again first. What a log says must outlive the messages that it speaks of, or they would be delivered
 * again.
 */
import { join } from "node:path";
import type { Settlement } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import { removeFile, type SpoolFiles } from "../disk/files.ts";
import type { SettleLog } from "../states/status-log.ts";

export interface CompactionOptions {
  files: SpoolFiles;
  /** Of the settle logs. */
  directory: string;
  index: StateIndex;
  log: SettleLog;
}

/** A log of which more than this is still needed is left alone. */
const rewriteBelow = 1 / 4;
/** So many small logs are worth joining even when all of them is needed. */
const manySmall = 16;
const smallBytes = 64 * 1024;

/**
 * @param logs     finished, and in the index completely, before the messages were counted
 * @param present  ids of the messages that are there, or were a short time ago
 * @returns octets freed
 */
export async function compactLogs(
  { files, directory, index, log }: CompactionOptions,
  logs: readonly { name: string; bytes: number }[],
  present: ReadonlySet<string>,
): Promise<number> {
  const small = logs.filter(({ bytes }) => bytes < smallBytes);
  const joined = small.length >= manySmall ? new Set(small.map(({ name }) => name)) : new Set<string>();
  const rewritten = new Set<string>();
  const going: { name: string; bytes: number }[] = [];
  for (const candidate of logs) {
    const ids = index.idsOf(candidate.name);
    const needed = ids.filter((id) => present.has(id));
    if (needed.length > ids.length * rewriteBelow && !joined.has(candidate.name)) continue;
    for (const id of needed) rewritten.add(id);
    going.push(candidate);
    await new Promise(setImmediate);
  }
  if (rewritten.size > 0) {
    await rewrite(rewritten, index, log);
    await log.sync();
  }
  let freed = 0;
  for (const { name, bytes } of going) {
    await removeFile(files, join(directory, `${name}.log`));
    freed += bytes;
  }
  return freed;
}

/** With their own stamps: an old fact that is written again does not become a new one. */
async function rewrite(ids: ReadonlySet<string>, index: StateIndex, log: SettleLog): Promise<void> {
  const byTimestamp = new Map<number, Settlement[]>();
  for (const id of ids) {
    for (const { recipients, state, timestamp } of index.entriesOf(id)) {
      const settlement = { id, recipients: [...recipients], state };
      const group = byTimestamp.get(timestamp);
      if (group === undefined) byTimestamp.set(timestamp, [settlement]);
      else group.push(settlement);
    }
  }
  await Promise.all([...byTimestamp].map(([timestamp, settlements]) => log.append(settlements, timestamp)));
}
