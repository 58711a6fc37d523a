/** A small durable write to the spool's directory: whether the disk is well. It closes and removes its file itself. */
import { join } from "node:path";
import { closeFile, done, openFile, removeFile, type SpoolFiles, writeFully } from "./files.ts";
import type { Places } from "./names.ts";

const probeBytes = Buffer.alloc(4096);

/** @throws the file system's errors */
export async function probeDisk({ files, places }: { files: SpoolFiles; places: Places }): Promise<void> {
  const path = join(places.root, "probe");
  const fd = await openFile(files, path, "w");
  try {
    await writeFully(files, fd, [probeBytes], 0);
    await done((end) => files.fdatasync(fd, end));
  } finally {
    await closeFile(files, fd);
    // Another process may have removed it.
    await removeFile(files, path).catch(() => {});
  }
}
