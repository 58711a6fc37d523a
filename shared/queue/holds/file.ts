/** The durable copy of the hold rules, a file beside the spool, from which Redis is restored after it was emptied. */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { type HoldRule, holdRuleSchema } from "./rules.ts";

const fileSchema = z.object({ version: z.int(), rules: z.array(holdRuleSchema) });
export interface HoldsCopy {
  /** Incremented by every change: the copy with the higher version is the newer one. */
  version: number;
  rules: HoldRule[];
}

/** No process writes for so long. */
const leftoverAfterMs = 3_600_000;

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

/** Beside the copy: rules that came with mail from another spool, which a process of this gateway adds to its own. */
export function handedOverPlace(file: string): string {
  return path.join(path.dirname(file), "holds-handed-over.json");
}

/**
 * Leaves rules to the gateway of another spool, which holds by them before it has the mail that they are for.
 * @param from  the copy of the rules of this spool @param to  that of the other
 * @returns how many rules stand
 */
export async function handOverHolds(from: string, to: string, nowMs: number): Promise<number> {
  const rules = await standingRules(from, nowMs);
  if (rules.length === 0) return 0;
  const place = handedOverPlace(to);
  const before = (await readHoldsFile(place))?.rules ?? [];
  await writeHoldsFile(place, { version: 1, rules: [...before, ...rules] });
  return rules.length;
}

/** The rules in a copy that have not ended. */
export async function standingRules(file: string, nowMs: number): Promise<HoldRule[]> {
  const rules = (await readHoldsFile(file))?.rules ?? [];
  return rules.filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
}

async function replace(file: string, copy: HoldsCopy): Promise<void> {
  const directory = path.dirname(file);
  await mkdir(directory, { recursive: true });
  // Other processes may write at the same time, also from another machine.
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    await writeSynced(temporary, JSON.stringify(copy));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await removeLeftovers(file);
  const parent = await open(directory, "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

async function writeSynced(file: string, text: string): Promise<void> {
  const handle = await open(file, "w", 0o640);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes the temporary files of processes that were killed while they wrote. */
async function removeLeftovers(file: string): Promise<void> {
  const directory = path.dirname(file);
  const prefix = `${path.basename(file)}.`;
  for (const name of await readdir(directory)) {
    if (!name.startsWith(prefix) || !name.endsWith(".tmp")) continue;
    const leftover = path.join(directory, name);
    const { mtimeMs } = await stat(leftover).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > leftoverAfterMs) await rm(leftover, { force: true });
  }
}
