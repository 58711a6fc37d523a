/** What is known of all writers, from the files that they keep (see own-writer.ts). Owns nothing. */
import { join } from "node:path";
import { coalesced } from "../disk/coalesce.ts";
import {
  closeFile,
  isMissing,
  listDirectory,
  openFile,
  readFully,
  removeFile,
  type SpoolFiles,
} from "../disk/files.ts";
import { type NumberedName, parseNumberedName } from "../disk/names.ts";
import { lineBytes, type OwnWriter, parseLine, type WriterFileKind, type WriterLine } from "./own-writer.ts";

interface LivingWriter {
  text: string;
  line: WriterLine;
  /** When this process saw it change, by `performance.now()`. */
  changedAtMs: number;
}

const unknownLine: WriterLine = { segmentsFrom: 0, logsFrom: 0, beat: 0 };

export class WriterRegistry {
  readonly #files: SpoolFiles;
  readonly #directory: string;
  readonly #own: OwnWriter;
  readonly #deadAfterMs: number;
  #alive = new Map<string, LivingWriter>();

  constructor(options: { files: SpoolFiles; directory: string; own: OwnWriter; deadAfterMs: number }) {
    this.#files = options.files;
    this.#directory = options.directory;
    this.#own = options.own;
    this.#deadAfterMs = options.deadAfterMs;
  }

  /**
   * To be called after the directory with the files in question was listed: a writer introduces itself before it
   * opens a file, so that the file of an unknown writer is a finished one.
   */
  readonly refresh: () => Promise<void> = coalesced(() => this.#read());

  async #read(): Promise<void> {
    const names = await listDirectory(this.#files, this.#directory);
    const alive = new Map<string, LivingWriter>();
    for (const name of names) {
      if (this.#own.isCurrent(name)) continue;
      const text = await this.#readLine(name);
      if (text === undefined) continue;
      // The time since we have seen it change, by our own clock that never jumps.
      const nowMs = performance.now();
      const before = this.#alive.get(name);
      const changedAtMs = before === undefined || before.text !== text ? nowMs : before.changedAtMs;
      if (nowMs - changedAtMs > this.#deadAfterMs) {
        await removeFile(this.#files, join(this.#directory, name));
        continue;
      }
      alive.set(name, { text, line: parseLine(text) ?? before?.line ?? unknownLine, changedAtMs });
    }
    this.#alive = alive;
  }

  isAlive(writer: string): boolean {
    return this.#own.isCurrent(writer) || this.#alive.has(writer);
  }

  /** Whether the file never grows again. */
  isFinished(kind: WriterFileKind, file: NumberedName): boolean {
    const writer = this.#alive.get(file.writer);
    if (writer === undefined) return this.#own.isFinished(kind, file);
    return file.openedMs < (kind === "segment" ? writer.line.segmentsFrom : writer.line.logsFrom);
  }

  isFinishedName(kind: WriterFileKind, name: string): boolean {
    const file = parseNumberedName(name);
    return file !== undefined && this.isFinished(kind, file);
  }

  async #readLine(name: string): Promise<string | undefined> {
    try {
      const fd = await openFile(this.#files, join(this.#directory, name), "r");
      try {
        const line = Buffer.alloc(lineBytes);
        const count = await readFully(this.#files, fd, line, lineBytes, 0);
        return line.toString("latin1", 0, count);
      } finally {
        await closeFile(this.#files, fd);
      }
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}
