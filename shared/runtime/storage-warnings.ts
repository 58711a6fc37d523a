/** Looks at the file system of the spool for what an operator should know about it. */
import { readFile, realpath, statfs } from "node:fs/promises";
import path from "node:path";
import { mountOf, parseMounts } from "../spool/fs/disk/mounts.ts";
import { unfitStorage } from "../spool/fs/disk/unfit-storage.ts";

/**
 * Never rejects: what the system does not say is not warned of.
 * @param directory  absolute; where it is not there yet, what is above it counts
 * @returns a sentence each
 */
export async function storageWarnings(directory: string): Promise<string[]> {
  try {
    const place = await nearest(directory);
    const [{ type }, mounts] = await Promise.all([
      statfs(place),
      readFile("/proc/self/mounts", "utf8").catch(() => ""),
    ]);
    return unfitStorage(directory, type, mountOf(place, parseMounts(mounts)));
  } catch {
    return [];
  }
}

/** The directory, or the first one above it that is there, without symbolic links. */
async function nearest(directory: string): Promise<string> {
  const place = await realpath(directory).catch(() => undefined);
  const above = path.dirname(directory);
  return place ?? (above === directory ? directory : nearest(above));
}
