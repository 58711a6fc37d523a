/**
 * A part of the mail that is handed over: a spool of its own beside the segments of the other spool, where no service looks.
 * A manifest, which is written last, says what is in it.
 */
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { createFsSpool } from "../fs/fs-spool.ts";
import type { RecipientState } from "../recipient-state.ts";
import { copyMessage } from "./copy-message.ts";
import type { Unsettled } from "./ends.ts";
import { syncDirectory, writeDurably } from "./handover-file.ts";

const manifestSchema = z.object({
  messages: z.array(
    z.object({
      id: z.string(),
      recipients: z.int(),
      /** The name of the segment that has it. */
      segment: z.string(),
      /** By recipient index; those that are absent are pending. Written and read by this program alone. */
      states: z.array(z.tuple([z.int(), z.custom<RecipientState>()])),
    }),
  ),
});
export type ManifestEntry = z.infer<typeof manifestSchema>["messages"][number];

const manifestName = "manifest.json";

/** How many there are, complete or not. */
export async function countChunks(directory: string): Promise<number> {
  return existsSync(directory) ? (await readdir(directory)).filter(isChunk).length : 0;
}

const isChunk = (name: string): boolean => /^\d{8}$/.test(name);

/** All chunks that are complete, in their order. */
export async function completeChunks(
  directory: string,
): Promise<{ chunk: string; entries: ManifestEntry[] }[]> {
  if (!existsSync(directory)) return [];
  const names = (await readdir(directory)).filter(isChunk).toSorted();
  return names.flatMap((name) => {
    const chunk = path.join(directory, name);
    const file = path.join(chunk, manifestName);
    if (!existsSync(file)) return [];
    return [{ chunk, entries: manifestSchema.parse(JSON.parse(readFileSync(file, "utf8"))).messages }];
  });
}

/** Removes what a run that was killed has left without a manifest. */
export async function removeIncompleteChunks(directory: string): Promise<void> {
  for (const name of existsSync(directory) ? await readdir(directory) : []) {
    const chunk = path.join(directory, name);
    if (!existsSync(path.join(chunk, manifestName))) await rm(chunk, { recursive: true, force: true });
  }
}

/**
 * Copies messages into a new chunk; on stable storage when it resolves.
 * @param number  of the chunk
 * @returns the entries of those that were copied, and the ids of those that cannot be read
 */
export async function writeChunk(
  directory: string,
  number: number,
  source: Parameters<typeof copyMessage>[0],
  messages: readonly Unsettled[],
): Promise<{ entries: ManifestEntry[]; unreadable: string[] }> {
  const chunk = path.join(directory, String(number).padStart(8, "0"));
  await mkdir(chunk, { recursive: true });
  const spool = createFsSpool({ directory: chunk });
  const entries: ManifestEntry[] = [];
  const unreadable: string[] = [];
  try {
    for (const message of messages) {
      const { meta, states } = message;
      const { id } = meta;
      const stored = await copyMessage(source, spool, message);
      if (stored === undefined) unreadable.push(id);
      else {
        const { segment } = stored.locator;
        entries.push({ id, recipients: meta.envelope.recipients.length, segment, states: [...states] });
      }
    }
  } finally {
    await spool.close();
  }
  await writeDurably(path.join(chunk, manifestName), JSON.stringify({ messages: entries }));
  await syncDirectory(directory);
  return { entries, unreadable };
}

/** Entries whose segment is still in the chunk: the others are the other spool's already. */
export async function entriesLeft(
  chunk: string,
  entries: readonly ManifestEntry[],
): Promise<ManifestEntry[]> {
  const segments = new Set(await readdir(path.join(chunk, "segments")));
  return entries.filter(({ segment }) => segments.has(`${segment}.seg`));
}

/** Puts the bodies of large messages beside those of the other spool. Nothing refers to them yet. */
export async function copyLargeBodies(chunk: string, target: string): Promise<void> {
  const names = await readdir(path.join(chunk, "large"));
  for (const name of names) {
    const place = path.join(target, "large", name);
    await cp(path.join(chunk, "large", name), place);
    const handle = await open(place, "r");
    await handle.sync().finally(() => handle.close());
  }
  if (names.length > 0) await syncDirectory(path.join(target, "large"));
}

/** Each segment moves by one rename: its messages are in the one spool or in the other. */
export async function moveSegments(chunk: string, target: string): Promise<void> {
  for (const name of (await readdir(path.join(chunk, "segments"))).toSorted())
    await rename(path.join(chunk, "segments", name), path.join(target, "segments", name));
  await syncDirectory(path.join(target, "segments"));
}
