/**
 * The file by which a spool says that its mail is being handed to another spool. While it is there no service opens the spool,
 * so that nothing in it changes, and no message is delivered from both.
 */
import { existsSync, readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";

const stateSchema = z.object({
  version: z.literal(1),
  /** Of this hand-over: the name of its directory in the other spool. */
  id: z.string(),
  /** The directory of the other spool, absolute, or the name of the store. */
  to: z.string(),
  /** `copying`: all mail is still this spool's. `committed`: it is the other's, which may not have been given all of it yet. */
  phase: z.enum(["copying", "committed"]),
});
export type HandoverState = z.infer<typeof stateSchema>;

/** Its presence in a spool asks the leading delivery worker for a scan. */
export const scanFileName = "handed-over";

const nameOfFile = "handover.json";

/** @returns undefined when no hand-over is under way @throws Error when the file cannot be read */
export function readHandover(spool: string): HandoverState | undefined {
  const file = path.join(spool, nameOfFile);
  return existsSync(file) ? stateSchema.parse(JSON.parse(readFileSync(file, "utf8"))) : undefined;
}

/** On stable storage when it resolves. */
export function writeHandover(spool: string, state: HandoverState): Promise<void> {
  return writeDurably(path.join(spool, nameOfFile), JSON.stringify(state));
}

export async function removeHandover(spool: string): Promise<void> {
  await rm(path.join(spool, nameOfFile), { force: true });
  await syncDirectory(spool);
}

/** Replaces the file as a whole. */
export async function writeDurably(file: string, text: string): Promise<void> {
  const temporary = `${file}.tmp`;
  const handle = await open(temporary, "w", 0o640);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  await syncDirectory(path.dirname(file));
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Why a service may not open the spool; undefined when it may. */
export function whyHandedOver(spool: string): string | undefined {
  const state = readHandover(spool);
  if (state === undefined) return undefined;
  const { to, phase } = state;
  const again = isStoreName(to) ? "the same 'postern spool copy --to'" : `'postern spool copy --to ${to}'`;
  const cancel = phase === "copying" ? ", or end it with 'postern spool copy --cancel'" : "";
  return `its mail is being handed to the spool ${to}: finish that with ${again}${cancel}`;
}

/** Whether the other spool is in a store, and no directory. */
export function isStoreName(name: string): boolean {
  return name.startsWith("s3://");
}
