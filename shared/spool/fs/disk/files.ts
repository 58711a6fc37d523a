/**
 * The file system calls that the spool makes, in one place: tests replace them by failing or counting ones.
 * Owns nothing; the caller that opens a descriptor closes it.
 */
import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import type { OnFault } from "../../fault.ts";
import { SpoolFull, SpoolUnavailable } from "../../spool.ts";

export type FileError = NodeJS.ErrnoException;
type Done = (error: FileError | null) => void;
type Counted = (error: FileError | null, count: number) => void;

/** Callbacks, since `fs.promises` costs too much on the path of every message. */
export interface SpoolFiles {
  open(path: string, flags: string, mode: number, done: (error: FileError | null, fd: number) => void): void;
  close(fd: number, done: Done): void;
  read(fd: number, into: Buffer, at: number, length: number, position: number, done: Counted): void;
  write(fd: number, from: Buffer, at: number, length: number, position: number | null, done: Counted): void;
  writev(fd: number, pieces: Buffer[], position: number | null, done: Counted): void;
  fdatasync(fd: number, done: Done): void;
  fsync(fd: number, done: Done): void;
  ftruncate(fd: number, length: number, done: Done): void;
  fstat(fd: number, done: (error: FileError | null, stats: fs.Stats) => void): void;
  stat(path: string, done: (error: FileError | null, stats: fs.Stats) => void): void;
  statfs(path: string, done: (error: FileError | null, stats: fs.StatsFs) => void): void;
  access(path: string, mode: number, done: Done): void;
  readdir(path: string, done: (error: FileError | null, names: string[]) => void): void;
  unlink(path: string, done: Done): void;
  rename(from: string, to: string, done: Done): void;
  mkdir(path: string, done: Done): void;
  rmdir(path: string, done: Done): void;
}

export const nodeFiles: SpoolFiles = {
  open: fs.open,
  close: fs.close,
  read: fs.read,
  write: fs.write,
  writev: fs.writev,
  fdatasync: fs.fdatasync,
  fsync: fs.fsync,
  ftruncate: fs.ftruncate,
  fstat: fs.fstat,
  stat: fs.stat,
  statfs: fs.statfs,
  access: fs.access,
  readdir: fs.readdir,
  unlink: fs.unlink,
  rename: fs.rename,
  mkdir: fs.mkdir,
  rmdir: fs.rmdir,
};

/** Mail is private: only the gateway's own user reads the spool. */
const fileMode = 0o600;
const directoryMode = 0o700;

/**
 * Makes the directories of a spool and their names durable.
 * @throws the file system's errors
 */
export function makeDirectories(root: string, places: readonly string[]): void {
  let made = false;
  for (const place of places)
    if (fs.mkdirSync(place, { recursive: true, mode: directoryMode }) !== undefined) made = true;
  if (!made) return;
  for (const parent of [root, dirname(resolve(root))]) {
    const fd = fs.openSync(parent, "r");
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }
}

/** The promise of a call's result. */
export function called<T>(start: (done: (error: FileError | null, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(error);
      else resolve(value);
    });
  });
}

/** As `called`, for calls without a result. */
export function done(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

export function openFile(files: SpoolFiles, path: string, flags: "r" | "r+" | "w" | "wx"): Promise<number> {
  return called((end) => files.open(path, flags, fileMode, end));
}

export function closeFile(files: SpoolFiles, fd: number): Promise<void> {
  return done((end) => files.close(fd, end));
}

/** Reads `length` octets, or as many as there are before the end of the file; returns their number. */
export async function readFully(
  files: SpoolFiles,
  fd: number,
  into: Buffer,
  length: number,
  position: number,
): Promise<number> {
  let count = 0;
  while (count < length) {
    const at = count;
    const read = await called<number>((end) => files.read(fd, into, at, length - at, position + at, end));
    if (read === 0) break;
    count += read;
  }
  return count;
}

/** Writes all pieces. A short write is continued, so that its cause shows as an error. */
export async function writeFully(
  files: SpoolFiles,
  fd: number,
  pieces: Buffer[],
  position: number,
): Promise<void> {
  let rest = pieces;
  let at = position;
  for (;;) {
    const left = rest.reduce((sum, piece) => sum + piece.length, 0);
    if (left === 0) return;
    const single = rest.length === 1 ? rest[0] : undefined;
    const written = await called<number>((end) =>
      single === undefined
        ? files.writev(fd, rest, at, end)
        : files.write(fd, single, 0, single.length, at, end),
    );
    if (written === left) return;
    if (written === 0) throw Object.assign(new Error("nothing more could be written"), { code: "ENOSPC" });
    at += written;
    rest = without(rest, written);
  }
}

function without(pieces: Buffer[], octets: number): Buffer[] {
  let skip = octets;
  const rest: Buffer[] = [];
  for (const piece of pieces) {
    if (skip >= piece.length) skip -= piece.length;
    else {
      rest.push(skip === 0 ? piece : piece.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

/** Makes creations, renames and removals in a directory durable. */
export async function syncDirectory(files: SpoolFiles, path: string): Promise<void> {
  const fd = await openFile(files, path, "r");
  try {
    await done((end) => files.fsync(fd, end));
  } finally {
    await closeFile(files, fd);
  }
}

/** @returns false when there was no such file */
export async function removeFile(files: SpoolFiles, path: string): Promise<boolean> {
  try {
    await done((end) => files.unlink(path, end));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** @returns undefined when there is no such file */
export async function statFile(files: SpoolFiles, path: string): Promise<fs.Stats | undefined> {
  try {
    return await called<fs.Stats>((end) => files.stat(path, end));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The names in a directory; none when there is no such directory. */
export async function listDirectory(files: SpoolFiles, path: string): Promise<string[]> {
  try {
    return await called<string[]>((end) => files.readdir(path, end));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** A file system error as the spool's own: too little space (452), or failed storage (451). */
export function spoolError(error: unknown, what: string): Error {
  if (error instanceof SpoolFull || error instanceof SpoolUnavailable) return error;
  const code = codeOf(error);
  const reason = error instanceof Error ? error.message : String(error);
  if (code === "ENOSPC" || code === "EDQUOT") return new SpoolFull(`${what}: ${reason}`, { cause: error });
  return new SpoolUnavailable(`${what}: ${reason}`, { cause: error });
}

/** @throws a file system error as SpoolFull or SpoolUnavailable */
export async function orSpoolError<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw spoolError(error, what);
  }
}

/** Closes descriptors without making their users wait. */
export class BackgroundCloser {
  readonly #files: SpoolFiles;
  readonly #onFault: OnFault;
  readonly #closing = new Set<Promise<void>>();

  constructor(files: SpoolFiles, onFault: OnFault) {
    this.#files = files;
    this.#onFault = onFault;
  }

  close(fd: number, what: string): void {
    const closing = closeFile(this.#files, fd)
      .catch((error: unknown) => this.#onFault({ kind: "background", doing: `closing ${what}`, error }))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Resolves when all of them are closed. */
  async idle(): Promise<void> {
    await Promise.all(this.#closing);
  }
}
