/** Walks the records of a segment: in large reads where they are short, past the bodies where they are long, and past damage. Opens and closes the segment itself. */

import type { Stats } from "node:fs";
import { isFileSafeId } from "../../../mail/queue-id.ts";
import type { OnFault } from "../../fault.ts";
import { headerLength, magic, placeSeed, readHeader, recordLength } from "../../records/record.ts";
import { type DamagedRecord, readWindow, type ScannedRecord } from "../../records/window.ts";
import { called, closeFile, openFile, readFully, type SpoolFiles } from "../disk/files.ts";

/** How far a segment has been walked. */
export interface ScanCursor {
  /** Where the next record would begin. */
  position: number;
  /** The walk went past damage. */
  damaged: boolean;
}

export interface ScanOptions {
  files: SpoolFiles;
  path: string;
  segment: string;
  /** Not written any more: octets at its end that are no record are damage, unless a crash cut them off. */
  closed: boolean;
  /** Octets from here on are not read. */
  limit?: number;
  onFault: OnFault;
  /** Hears of each damaged record of a closed segment whose id looks like one. */
  onDamagedRecord?: (record: DamagedRecord) => void;
  /**
   * Hears of octets that the disk cannot read, and the walk goes past them; absent: the walk ends with that error. Their
   * records are neither lost nor damaged as far as anybody knows: they may be read another time.
   */
  onUnreadable?: (error: unknown) => void;
}

const wideBytes = 1024 * 1024;
/** Where records are long, their bodies are not read: one read for each envelope then, of a block. */
const narrowBytes = 4 * 1024;
const longRecord = 16 * 1024;

/**
 * Records from `cursor` to the end, in groups of about a mebibyte at most; the cursor moves along.
 * A group is valid until the next one is requested, which is read into the same memory.
 * @throws the file system's errors, ENOENT among them
 */
export async function* scanSegment(
  options: ScanOptions,
  cursor: ScanCursor = { position: 0, damaged: false },
): AsyncGenerator<ScannedRecord[], void> {
  const { files, path, segment } = options;
  const fd = await openFile(files, path, "r");
  try {
    const { size } = await called<Stats>((end) => files.fstat(fd, end));
    const end = Math.min(size, options.limit ?? size);
    yield* recordsOf({ ...options, fd, end, seed: placeSeed(segment), hasUnreadable: false }, cursor);
  } finally {
    await closeFile(files, fd);
  }
}

interface Scan extends ScanOptions {
  fd: number;
  end: number;
  seed: number;
  /** Octets could not be read, and stand in the windows as zeros. */
  hasUnreadable: boolean;
}

async function* recordsOf(scan: Scan, cursor: ScanCursor): AsyncGenerator<ScannedRecord[], void> {
  let want = wideBytes;
  let window = Buffer.alloc(0);
  while (scan.end - cursor.position >= headerLength) {
    const start = cursor.position;
    const length = Math.min(want, scan.end - start);
    if (window.length < length) window = Buffer.allocUnsafe(length);
    const filled = await readPast(scan, window, length, start);
    if (filled < headerLength) return;
    const found = readWindow(window.subarray(0, filled), start, scan);
    cursor.position = found.position;
    if (found.damaged !== undefined) {
      reportDamage(scan, cursor, found.damaged.offset, found.damaged.length);
      if (scan.closed && !scan.hasUnreadable && isFileSafeId(found.damaged.id))
        scan.onDamagedRecord?.(found.damaged);
    }
    if (found.records.length > 0) yield found.records;
    if (found.stop === "cut") return;
    if (found.stop === "lost") {
      const next = await findRecord(scan, cursor.position + 1);
      if (next === undefined) {
        if (scan.closed && !(await isBlank(scan, cursor.position)))
          reportDamage(scan, cursor, cursor.position, scan.end - cursor.position);
        return;
      }
      reportDamage(scan, cursor, cursor.position, next - cursor.position);
      cursor.position = next;
    }
    const meanLength = (found.position - start) / Math.max(1, found.records.length);
    want = Math.max(found.need, meanLength > longRecord ? narrowBytes : wideBytes);
  }
}

/** The disk reads in blocks: the octets around an unreadable block are read without it. */
const blockBytes = 4096;

/** As readFully(). With `onUnreadable`, blocks that cannot be read are filled with zeros. */
async function readPast(scan: Scan, into: Buffer, length: number, position: number): Promise<number> {
  const { files, fd, onUnreadable } = scan;
  try {
    return await readFully(files, fd, into, length, position);
  } catch (error) {
    if (onUnreadable === undefined) throw error;
    scan.hasUnreadable = true;
    onUnreadable(error);
  }
  for (let at = 0; at < length; ) {
    const end = Math.min(length, at + blockBytes - ((position + at) % blockBytes));
    const block = into.subarray(at, end);
    const count = await readFully(files, fd, block, block.length, position + at).catch(
      () => block.fill(0).length,
    );
    if (count < block.length) return at + count;
    at = end;
  }
  return length;
}

function reportDamage(scan: Scan, cursor: ScanCursor, offset: number, length: number): void {
  // What was passed by is unreadable, which is reported already.
  if (scan.hasUnreadable) return;
  cursor.damaged = true;
  scan.onFault({ kind: "damaged", place: scan.segment, offset, length });
}

/** The offset of the next whole record at or after `from`. */
async function findRecord(scan: Scan, from: number): Promise<number | undefined> {
  let position = from;
  const window = Buffer.allocUnsafe(wideBytes);
  while (scan.end - position >= headerLength) {
    const length = Math.min(window.length, scan.end - position);
    const filled = await readPast(scan, window, length, position);
    if (filled < headerLength) return undefined;
    const view = window.subarray(0, filled);
    const last = filled - headerLength;
    for (let at = view.indexOf(magic); at !== -1 && at <= last; at = view.indexOf(magic, at + 1)) {
      const header = readHeader(view, at, scan.seed);
      if (header !== undefined && position + at + recordLength(header) <= scan.end) return position + at;
    }
    position += last + 1;
  }
  return undefined;
}

/** Whether only zeros follow: a crash of the machine may leave a tail that was allocated and never written. */
async function isBlank(scan: Scan, from: number): Promise<boolean> {
  const window = Buffer.allocUnsafe(wideBytes);
  let position = from;
  while (position < scan.end) {
    const length = Math.min(window.length, scan.end - position);
    const filled = await readPast(scan, window, length, position);
    if (filled === 0) return true;
    if (window.subarray(0, filled).some((octet) => octet !== 0)) return false;
    position += filled;
  }
  return true;
}
