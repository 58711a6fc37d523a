/** Damages what a spool has stored, as a disk does. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { StoredMessage } from "../../shared/spool/spool.ts";

/** Changes one bit of a record. @param at  octets from its start; from its end when negative */
export function flipBit(directory: string, { locator }: StoredMessage, at: number): void {
  const path = join(directory, "segments", `${locator.segment}.seg`);
  const octets = readFileSync(path);
  const position = locator.offset + (at < 0 ? locator.length + at : at);
  octets[position] = (octets[position] ?? 0) ^ 1;
  writeFileSync(path, octets);
}
