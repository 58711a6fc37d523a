/** Walks the records of a segment in big reads, past bodies and damage. Opens and closes the segment itself. */

import type { Stats } from "node:fs";
import type { OnFault } from "../disk/fault.ts";
import { called, closeFile, openFile, readFully, type SpoolFiles } from "../disk/files.ts";
import {
  bodyOffset,
  headerLength,
  magic,
  placeSeed,
  type RecordHeader,
  type RecordText,
  readHeader,
  readText,
  recordLength,
} from "./record.ts";

export interface ScannedRecord extends RecordText {
  offset: number;
  /** Octets in the segment. */
  length: number;
  header: RecordHeader;
}

/** How far a segment has been walked. */
export interface ScanCursor {
  /** Where the next record would begin. */
  position: number;
  /** Damage was passed. */
  damaged: boolean;
}

export interface ScanOptions {
  files: SpoolFiles;
  path: string;
  segment: string;
  /** Nobody writes it any more: octets at the end that make no record are damage, unless a crash tore them. */
  closed: boolean;
  /** Octets from here on are not looked at. */
  limit?: number;
  onFault: OnFault;
}

const wideBytes = 1024 * 1024;
/** Where bodies are long, reading them only to pass them would cost more than another read. */
const narrowBytes = 16 * 1024;
const longBody = 128 * 1024;

/**
 * Records from `cursor` to the end, in groups of at most about a mebibyte; the cursor moves along.
 * A group is good until the next one is asked for, which is read into the same memory.
 * @throws the file system's errors, ENOENT among them
 */
export async function* scanSegment(
  options: ScanOptions,
  cursor: ScanCursor,
): AsyncGenerator<ScannedRecord[], void> {
  const { files, path, segment } = options;
  const fd = await openFile(files, path, "r");
  try {
    const { size } = await called<Stats>((end) => files.fstat(fd, end));
    const end = Math.min(size, options.limit ?? size);
    yield* walk({ ...options, fd, end, seed: placeSeed(segment) }, cursor);
  } finally {
    await closeFile(files, fd);
  }
}

interface Walk extends ScanOptions {
  fd: number;
  end: number;
  seed: number;
}

async function* walk(job: Walk, cursor: ScanCursor): AsyncGenerator<ScannedRecord[], void> {
  let want = wideBytes;
  let window = Buffer.alloc(0);
  while (job.end - cursor.position >= headerLength) {
    const start = cursor.position;
    const length = Math.min(want, job.end - start);
    if (window.length < length) window = Buffer.allocUnsafe(length);
    const filled = await readFully(job.files, job.fd, window, length, start);
    if (filled < headerLength) return;
    const found = readWindow(window.subarray(0, filled), start, job);
    cursor.position = found.position;
    if (found.wrong !== undefined) reportDamage(job, cursor, found.wrong.offset, found.wrong.length);
    if (found.records.length > 0) yield found.records;
    if (found.stop === "torn") return;
    if (found.stop === "lost") {
      const next = await findRecord(job, cursor.position + 1);
      if (next === undefined) {
        if (job.closed && !(await isBlank(job, cursor.position)))
          reportDamage(job, cursor, cursor.position, job.end - cursor.position);
        return;
      }
      reportDamage(job, cursor, cursor.position, next - cursor.position);
      cursor.position = next;
    }
    want = Math.max(found.need, found.longest > longBody ? narrowBytes : wideBytes);
  }
}

function reportDamage(job: Walk, cursor: ScanCursor, offset: number, length: number): void {
  cursor.damaged = true;
  job.onFault({ kind: "damaged", place: job.segment, offset, length });
}

interface WindowContent {
  records: ScannedRecord[];
  /** Where the next window begins. */
  position: number;
  /** `torn`: the file ends within a record. `lost`: no record begins at `position`. */
  stop: "torn" | "lost" | undefined;
  /** Octets that the next window needs at least. */
  need: number;
  longest: number;
  /** A record whose id and meta are damaged; the window ends behind it. */
  wrong?: { offset: number; length: number };
}

function readWindow(window: Buffer, start: number, { seed, end }: Walk): WindowContent {
  const content: WindowContent = { records: [], position: start, stop: undefined, need: 0, longest: 0 };
  for (;;) {
    const at = content.position - start;
    if (at + headerLength > window.length) return content;
    const header = readHeader(window, at, seed);
    if (header === undefined) return { ...content, stop: "lost" };
    const length = recordLength(header);
    if (content.position + length > end) return { ...content, stop: "torn" };
    const textEnd = bodyOffset(header);
    if (at + textEnd > window.length) return { ...content, need: textEnd };
    const text = readText(window, at, header, seed);
    const offset = content.position;
    content.position += length;
    if (text === undefined) return { ...content, wrong: { offset, length } };
    content.records.push({ ...text, offset, length, header });
    content.longest = Math.max(content.longest, length);
  }
}

/** The offset of the next whole record at or after `from`. */
async function findRecord(job: Walk, from: number): Promise<number | undefined> {
  let position = from;
  const window = Buffer.allocUnsafe(wideBytes);
  while (job.end - position >= headerLength) {
    const length = Math.min(window.length, job.end - position);
    const filled = await readFully(job.files, job.fd, window, length, position);
    if (filled < headerLength) return undefined;
    const view = window.subarray(0, filled);
    const last = filled - headerLength;
    for (let at = view.indexOf(magic); at !== -1 && at <= last; at = view.indexOf(magic, at + 1)) {
      const header = readHeader(view, at, job.seed);
      if (header !== undefined && position + at + recordLength(header) <= job.end) return position + at;
    }
    position += last + 1;
  }
  return undefined;
}

/** A crash of the machine may leave a tail that was allocated and never written. */
async function isBlank(job: Walk, from: number): Promise<boolean> {
  const window = Buffer.allocUnsafe(wideBytes);
  let position = from;
  while (position < job.end) {
    const length = Math.min(window.length, job.end - position);
    const filled = await readFully(job.files, job.fd, window, length, position);
    if (filled === 0) return true;
    if (window.subarray(0, filled).some((octet) => octet !== 0)) return false;
    position += filled;
  }
  return true;
}
