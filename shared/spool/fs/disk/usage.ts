/** Measures what the spool takes on disk: for metrics, not for the path of a message. */
import { join } from "node:path";
import { listDirectory, type SpoolFiles, statFile } from "./files.ts";
import { numberedNames, type Places } from "./names.ts";

/** So many files are asked for at once. */
const atOnce = 32;

export async function measureUse(
  files: SpoolFiles,
  places: Places,
): Promise<{ bytesUsed: number; segments: number }> {
  let bytesUsed = 0;
  for (const place of [places.segments, places.settled, places.large, places.own, places.damaged]) {
    const names = await listDirectory(files, place);
    for (let at = 0; at < names.length; at += atOnce) {
      const group = names.slice(at, at + atOnce);
      const stats = await Promise.all(group.map((name) => statFile(files, join(place, name))));
      for (const file of stats) bytesUsed += file?.size ?? 0;
    }
  }
  return {
    bytesUsed,
    segments: numberedNames(await listDirectory(files, places.segments), ".seg").length,
  };
}
