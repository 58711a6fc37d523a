/** Makes a spool's directories, durably. */
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { directoryMode } from "./files.ts";
import type { Places } from "./names.ts";

/** @throws the file system's errors */
export function makeDirectories(directory: string, places: Places): void {
  let made = false;
  for (const place of Object.values(places))
    if (mkdirSync(place, { recursive: true, mode: directoryMode }) !== undefined) made = true;
  if (!made) return;
  for (const parent of [directory, dirname(resolve(directory))]) {
    const fd = openSync(parent, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
