/**
 * Who writes to the spool. Each process that writes has a name, and a file under that name that it changes every few
 * seconds. Another process that sees no change for long removes the file: from then on what the writer wrote counts
 * as finished. The writer looks for its file after each write and before it tells anybody of success, so whatever
 * was acknowledged stood in its files before they counted as finished; a process that was paused meanwhile sees that
 * the file is gone, takes a new name and writes again. No clocks of different machines are compared.
 * Owns the own writer's file, until close().
 */
import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { join } from "node:path";
import type { OnFault } from "../disk/fault.ts";
import {
  called,
  closeFile,
  isMissing,
  openFile,
  removeFile,
  type SpoolFiles,
  writeFully,
} from "../disk/files.ts";
import { type NumberedName, writerName } from "../disk/names.ts";

/** One line, always of this many octets, so that one write replaces it. */
export const lineBytes = 128;

export interface WriterLine {
  /** Segments opened before this time (epoch milliseconds) are finished. */
  segmentsFrom: number;
  /** The same for settle logs. */
  logsFrom: number;
  /** Changes with every write of the line. */
  beat: number;
}

export type WriterFileKind = "segment" | "log";

export class OwnWriter {
  readonly #files: SpoolFiles;
  readonly #directory: string;
  readonly #onFault: OnFault;
  readonly #nowMs: () => number;
  #name: Promise<string> | undefined;
  #current: string | undefined;
  readonly #past = new Set<string>();
  #lastOpenedMs = 0;
  #line: WriterLine = { segmentsFrom: 0, logsFrom: 0, beat: 0 };
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: {
    files: SpoolFiles;
    directory: string;
    beatMs: number;
    onFault: OnFault;
    nowMs: () => number;
  }) {
    this.#files = options.files;
    this.#directory = options.directory;
    this.#onFault = options.onFault;
    this.#nowMs = options.nowMs;
    this.#timer = setInterval(() => void this.#beat(), options.beatMs).unref();
  }

  /** The name to open files under; made on first use, since many processes only read. */
  name(): Promise<string> {
    this.#name ??= this.#introduce().catch((error: unknown) => {
      this.#name = undefined;
      throw error;
    });
    return this.#name;
  }

  isCurrent(name: string): boolean {
    return this.#current === name;
  }

  /** Whether the name is, or was, this process'. */
  isOwn(name: string): boolean {
    return this.#current === name || this.#past.has(name);
  }

  /** A time for a new file's name: rises with every call. */
  openedMs(): number {
    this.#lastOpenedMs = Math.max(this.#lastOpenedMs + 1, this.#nowMs());
    return this.#lastOpenedMs;
  }

  /** To be asked after every write: false when what was written does not count, and has to be written under a new name. */
  async stillCounts(name: string): Promise<boolean> {
    try {
      await called<Stats>((end) => this.#files.stat(join(this.#directory, name), end));
      return true;
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.#lose(name);
      return false;
    }
  }

  /** Tells others that this file is finished, and all of its kind that were opened before. */
  finished(kind: WriterFileKind, file: NumberedName): void {
    if (file.writer !== this.#current) return;
    const from = file.openedMs + 1;
    if (kind === "segment") this.#line.segmentsFrom = Math.max(this.#line.segmentsFrom, from);
    else this.#line.logsFrom = Math.max(this.#line.logsFrom, from);
    void this.#beat();
  }

  isFinished(kind: WriterFileKind, file: NumberedName): boolean {
    if (file.writer !== this.#current) return true;
    return file.openedMs < (kind === "segment" ? this.#line.segmentsFrom : this.#line.logsFrom);
  }

  /** Everything of this writer counts as finished afterwards. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#name?.catch(() => {});
    await this.#writing;
    const name = this.#current;
    this.#current = undefined;
    if (name === undefined) return;
    this.#past.add(name);
    await removeFile(this.#files, join(this.#directory, name));
  }

  async #introduce(): Promise<string> {
    const name = writerName(randomBytes(12));
    const fd = await openFile(this.#files, join(this.#directory, name), "wx");
    try {
      this.#line = { ...this.#line, beat: this.#line.beat + 1 };
      await writeFully(this.#files, fd, [formatLine(this.#line)], 0);
    } finally {
      await closeFile(this.#files, fd);
    }
    this.#current = name;
    return name;
  }

  /** Writes never overlap, since an older line must not replace a newer one. */
  #beat(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      const name = this.#current;
      if (name === undefined) return;
      try {
        // Never created anew: when others have removed it, that stands.
        const fd = await openFile(this.#files, join(this.#directory, name), "r+");
        try {
          this.#line.beat++;
          await writeFully(this.#files, fd, [formatLine(this.#line)], 0);
        } finally {
          await closeFile(this.#files, fd);
        }
      } catch (error) {
        if (isMissing(error)) this.#lose(name);
        else this.#onFault({ kind: "background", doing: "writer's sign of life", error });
      }
    });
    return this.#writing;
  }

  #lose(name: string): void {
    if (this.#current !== name) return;
    this.#current = undefined;
    this.#name = undefined;
    this.#past.add(name);
    this.#onFault({ kind: "fenced", writer: name });
  }
}

function formatLine(line: WriterLine): Buffer {
  return Buffer.from(`${JSON.stringify(line).padEnd(lineBytes - 1)}\n`);
}

/** Undefined for a line that is half written: the writer was seen between creation and first write. */
export function parseLine(text: string): WriterLine | undefined {
  try {
    const { segmentsFrom, logsFrom, beat } = JSON.parse(text) as Partial<WriterLine>;
    if (typeof segmentsFrom !== "number" || typeof logsFrom !== "number" || typeof beat !== "number")
      return undefined;
    return { segmentsFrom, logsFrom, beat };
  } catch {
    return undefined;
  }
}
