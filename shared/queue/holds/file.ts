/** The durable copy of the hold rules, a file beside the spool, from which Redis is restored after it was emptied. */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type HoldRule, holdRuleSchema } from "./rules.ts";

const fileSchema = z.object({ version: z.int(), rules: z.array(holdRuleSchema) });
export interface HoldsCopy {
  /** Incremented by every change: the copy with the higher version is the newer one. */
  version: number;
  rules: HoldRule[];
}

/**
 * @returns `undefined` when there is no file
 * @throws Error when it cannot be read or is not a copy of hold rules
 */
export async function readHoldsFile(file: string): Promise<HoldsCopy | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return fileSchema.parse(JSON.parse(text));
}

/** The copy could not be written. */
export class HoldsFileFailed extends Error {
  override name = "HoldsFileFailed";
}

/** Replaces the file as a whole; on stable storage when it resolves. @throws HoldsFileFailed */
export async function writeHoldsFile(file: string, copy: HoldsCopy): Promise<void> {
  try {
    await replace(file, copy);
  } catch (error) {
    throw new HoldsFileFailed((error as Error).message, { cause: error });
  }
}

async function replace(file: string, copy: HoldsCopy): Promise<void> {
  const directory = path.dirname(file);
  await mkdir(directory, { recursive: true });
  // Other processes may write at the same time, also from another machine.
  const temporary = `${file}.${randomUUID()}.tmp`;
  const handle = await open(temporary, "w", 0o640);
  try {
    await handle.writeFile(JSON.stringify(copy));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  const parent = await open(directory, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
