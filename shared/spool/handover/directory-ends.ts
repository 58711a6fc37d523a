/** Spools in directories, as ends of a hand-over. Copies wait in `incoming/ID` of the other spool. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { createFsSpool } from "../fs/fs-spool.ts";
import {
  completeChunks,
  copyLargeBodies,
  countChunks,
  entriesLeft,
  moveSegments,
  removeIncompleteChunks,
  writeChunk,
} from "./chunk.ts";
import type { Source, Target } from "./ends.ts";
import { readHandover, removeHandover, scanFileName, writeDurably, writeHandover } from "./handover-file.ts";
import { settlementsOf } from "./settlements.ts";

/** @param directory  absolute */
export function directorySource(directory: string): Source {
  return {
    read: async () => readHandover(directory),
    write: (state) => writeHandover(directory, state),
    remove: () => removeHandover(directory),
    async use(work) {
      const spool = createFsSpool({ directory });
      try {
        const result = await work(spool);
        await spool.recordSettlements();
        return result;
      } finally {
        await spool.close();
      }
    },
    mustBeWhole() {},
    // A file that cannot be read is damage on this disk: its messages stay.
    isStorageError: () => false,
  };
}

/** @param directory  absolute; the gateway of the spool may be running */
export function directoryTarget(directory: string): Target {
  const placeOf = (id: string): string => path.join(directory, "incoming", id);
  return {
    name: directory,
    async begin(id) {
      // By another path, of a mount for example: what was handed over would be settled here.
      if (readHandover(directory)?.id === id) throw new Error(`${directory} is this spool itself`);
      // Makes the directories of a new spool.
      await createFsSpool({ directory }).close();
      await removeIncompleteChunks(placeOf(id));
    },
    async copied(id) {
      const complete = await completeChunks(placeOf(id));
      return new Set(complete.flatMap(({ entries }) => entries.map((entry) => entry.id)));
    },
    async copy(id, source, messages) {
      const number = (await countChunks(placeOf(id))) + 1;
      const { entries, unreadable } = await writeChunk(placeOf(id), number, source, messages);
      return { copied: entries.map((entry) => entry.id), unreadable };
    },
    async check(ids) {
      const spool = createFsSpool({ directory });
      try {
        for (const id of ids)
          if ((await spool.states(id)).size > 0)
            throw new Error(
              `message ${id} was in ${directory} before, which still knows that it has gone: nothing was handed over; take another directory, or end it with --cancel and begin anew when the gateway there has run for 20 minutes`,
            );
      } finally {
        await spool.close();
      }
    },
    async give(id, _source, onProgress) {
      const all = [];
      for (const { chunk, entries } of await completeChunks(placeOf(id))) {
        const left = await entriesLeft(chunk, entries);
        if (left.length > 0) {
          await copyLargeBodies(chunk, directory);
          const target = createFsSpool({ directory });
          try {
            await target.settle(left.flatMap((entry) => settlementsOf(entry.id, entry.states)));
            await target.recordSettlements();
          } finally {
            // With it they are on stable storage.
            await target.close();
          }
          await moveSegments(chunk, directory);
        }
        for (const entry of entries) all.push(entry);
        onProgress(all.length);
      }
      // The leading delivery worker of the other spool looks for it, and schedules what it does not know.
      if (all.length > 0) await writeDurably(path.join(directory, scanFileName), "");
      return all;
    },
    end: (id) => rm(placeOf(id), { recursive: true, force: true }),
    cancel: (id) => rm(placeOf(id), { recursive: true, force: true }),
  };
}

/** Whether this is the directory of a spool. */
export function isSpool(directory: string): boolean {
  return existsSync(path.join(directory, "segments"));
}
