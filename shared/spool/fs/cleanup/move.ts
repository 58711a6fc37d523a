/** Moves messages that have waited long out of their segment, each to a file of its own, so that the segment can go. */
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { OnFault } from "../../fault.ts";
import { locatorOf } from "../../records/parse-record.ts";
import {
  bodyOffset,
  headLength,
  makeHead,
  placeSeed,
  recordLength,
  writeHead,
} from "../../records/record.ts";
import type { DamagedRecord, ScannedRecord } from "../../records/window.ts";
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
import { movedPath, movedPlace, type Places, segmentPath } from "../disk/names.ts";
import type { StoredRecords } from "../segments/stored-records.ts";

export interface MoveOptions {
  files: SpoolFiles;
  places: Places;
  records: Pick<StoredRecords, "scanAgain">;
  /** The directory of the collector's lock, where moved messages are prepared. */
  directory: string;
  onFault: OnFault;
}

export interface MoveReport {
  moved: number;
  /** Whether all could be: a message with a damaged body or envelope stays where it is. */
  all: boolean;
  /** Records of the segment. */
  found: number;
  /** Octets of the segment are no records, or damaged ones. */
  damaged: boolean;
}

/**
 * Moves the messages of a finished segment that `isWanted`. Durable, except for the names in the directory of moved
 * messages, which the caller syncs.
 * @param isReported  whether damage between the messages is reported; a damaged body always is
 * @throws the file system's errors; ENOENT when the collector has lost its lock
 */
export async function moveMessages(
  options: MoveOptions,
  segment: string,
  isWanted: (id: string, recipients: number) => boolean,
  isReported: boolean,
): Promise<MoveReport> {
  const { files, places, records, onFault } = options;
  const path = segmentPath(places, segment);
  const fd = await openFile(files, path, "r");
  let moved = 0;
  let all = true;
  let found = 0;
  const cursor = { position: 0, damaged: false };
  try {
    const onDamagedRecord = ({ id, header }: DamagedRecord): void => {
      found++;
      if (isWanted(id, header.recipients)) all = false;
    };
    for await (const group of records.scanAgain(segment, cursor, { onDamagedRecord, isReported })) {
      for (const record of group) {
        found++;
        if (!isWanted(record.id, record.header.recipients)) continue;
        const body = await readBody(files, fd, record);
        if (body === undefined) {
          all = false;
          onFault({ kind: "damaged", place: segment, offset: record.offset, length: record.length });
          continue;
        }
        await writeMoved(options, segment, record, body);
        moved++;
      }
    }
  } finally {
    await closeFile(files, fd);
  }
  return { moved, all, found, damaged: cursor.damaged };
}

/** Undefined when it does not match its checksum. A large body stays in its own file, and is empty here. */
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
  record: ScannedRecord,
  body: Buffer,
): Promise<void> {
  const { id, meta, extra, header } = record;
  const origin = locatorOf(segment, record);
  const head = makeHead(
    meta(),
    { length: header.bodyLength, crc: header.bodyCrc },
    extra.large === undefined ? { origin } : { origin, large: extra.large },
  );
  const start = Buffer.allocUnsafe(headLength(head));
  writeHead(start, 0, head, placeSeed(movedPlace(id)));
  const prepared = join(directory, `${id}.msg`);
  const fd = await createFile(files, prepared);
  try {
    await writeFully(files, fd, [start, body], 0);
    await done((end) => files.fdatasync(fd, end));
  } catch (error) {
    throw spoolError(error, "a message could not be moved");
  } finally {
    await closeFile(files, fd);
  }
  await done((end) => files.rename(prepared, movedPath(places, id), end));
}

/** Replaces what an earlier attempt of this collector has left, but fails without the collector's directory. */
async function createFile(files: SpoolFiles, path: string): Promise<number> {
  try {
    return await openFile(files, path, "wx");
  } catch (error) {
    if (isMissing(error)) throw error;
    await removeFile(files, path);
    return openFile(files, path, "wx");
  }
}
