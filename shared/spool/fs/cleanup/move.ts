/** Moves a message that has waited long out of its segment, to a file of its own. */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { OnFault } from "../disk/fault.ts";
import {
  closeFile,
  done,
  isMissing,
  openFile,
  readFully,
  removeFile,
  type SpoolFiles,
  spoolError,
  writeFully,
} from "../disk/files.ts";
import { movedPlace, type Places } from "../disk/names.ts";
import { bodyOffset, headLength, makeHead, placeSeed, recordLength, writeHead } from "../segments/record.ts";
import { type ScannedRecord, scanSegment } from "../segments/scan.ts";
import type { SegmentContents } from "./segment-index.ts";

export interface MoveOptions {
  files: SpoolFiles;
  places: Places;
  /** The collector's own directory. */
  directory: string;
  onFault: OnFault;
}

/**
 * Moves what `wanted` names; durable but for the names in the own directory, which the caller syncs.
 * @returns how many were moved, and whether all could be: a damaged body stays where it is
 * @throws the file system's errors; ENOENT when the collector has lost its directory
 */
export async function moveMessages(
  options: MoveOptions,
  segment: SegmentContents,
  wanted: (id: string, recipients: number) => boolean,
): Promise<{ moved: number; all: boolean }> {
  const { files, places, onFault } = options;
  const path = join(places.segments, `${segment.name}.seg`);
  const fd = await openFile(files, path, "r");
  let moved = 0;
  let all = true;
  try {
    const scan = { files, path, segment: segment.name, closed: true, onFault: () => {} };
    for await (const group of scanSegment(scan, { position: 0, damaged: false })) {
      for (const record of group) {
        if (!wanted(record.id, record.header.recipients)) continue;
        const body = await readBody(files, fd, record);
        if (body === undefined) {
          all = false;
          onFault({ kind: "damaged", place: segment.name, offset: record.offset, length: record.length });
          continue;
        }
        await writeMoved(options, segment.name, record, body);
        moved++;
      }
    }
  } finally {
    await closeFile(files, fd);
  }
  return { moved, all };
}

/** Undefined when it does not match its checksum. A body with its own file stays there, and is empty here. */
async function readBody(files: SpoolFiles, fd: number, record: ScannedRecord): Promise<Buffer | undefined> {
  const start = bodyOffset(record.header);
  const body = Buffer.allocUnsafe(recordLength(record.header) - start);
  const count = await readFully(files, fd, body, body.length, record.offset + start);
  if (count < body.length) return undefined;
  return record.header.large || crc32(body) === record.header.bodyCrc ? body : undefined;
}

async function writeMoved(
  { files, places, directory }: MoveOptions,
  segment: string,
  { id, meta, extra, header, offset, length }: ScannedRecord,
  body: Buffer,
): Promise<void> {
  const origin = { segment, offset, length, checksum: header.checksum };
  const head = makeHead(
    meta(),
    { length: header.bodyLength, crc: header.bodyCrc },
    extra.large === undefined ? { origin } : { origin, large: extra.large },
  );
  const start = Buffer.allocUnsafe(headLength(head));
  writeHead(start, 0, head, placeSeed(`${movedPlace}/${id}`));
  const made = join(directory, `${id}.msg`);
  const fd = await openFile(files, made, "wx").catch(async (error: unknown) => {
    if (isMissing(error)) throw error;
    // Left by an attempt of this same collector that failed half-way.
    await removeFile(files, made);
    return openFile(files, made, "wx");
  });
  try {
    await writeFully(files, fd, [start, body], 0);
    await done((end) => files.fdatasync(fd, end));
  } catch (error) {
    throw spoolError(error, "a message could not be moved");
  } finally {
    await closeFile(files, fd);
  }
  await done((end) => files.rename(made, join(places.own, `${id}.msg`), end));
}
