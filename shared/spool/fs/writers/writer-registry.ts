/** Which writers are alive and which of their files are finished, from the heartbeat files of all processes. Owns nothing. */
import { join } from "node:path";
import type { FileFaults } from "../../file-faults.ts";
import { type NumberedName, parseNumberedName } from "../../records/names.ts";
import { coalesced } from "../../sequence.ts";
import {
  closeFile,
  isMissing,
  listDirectory,
  openFile,
  readFully,
  removeFile,
  type SpoolFiles,
} from "../disk/files.ts";
import type { Places } from "../disk/names.ts";
import {
  type HeartbeatLine,
  heartbeatBytes,
  isFinishedBy,
  parseHeartbeat,
  type WriterFileKind,
  type WriterHeartbeat,
} from "./heartbeat.ts";

interface LivingWriter {
  text: string;
  line: HeartbeatLine;
  /** When this process saw the text change, by `performance.now()`. */
  changedAtMs: number;
}

/** Of a writer that has just made its file: nothing that it writes was acknowledged. */
const newLine: HeartbeatLine = { segmentsFrom: 0, logsFrom: 0, beat: 0, synced: [0, 0] };
/** Of a writer whose heartbeat cannot be read: what is on stable storage is not known, and all of it counts. */
const unknownLine: HeartbeatLine = { segmentsFrom: 0, logsFrom: 0, beat: 0 };
const unreadable = "unreadable";

export interface WriterRegistryOptions {
  files: SpoolFiles;
  places: Places;
  heartbeat: WriterHeartbeat;
  fileFaults: FileFaults;
  /** A writer whose heartbeat has not changed for this long is taken for dead. */
  deadAfterMs: number;
}

export class WriterRegistry {
  readonly #options: WriterRegistryOptions;
  /** Without this process. */
  #alive = new Map<string, LivingWriter>();

  constructor(options: WriterRegistryOptions) {
    this.#options = options;
  }

  /**
   * To be called after the directory with the files in question was listed: a writer makes its heartbeat file before
   * it opens any other, so the file of an unknown writer is a finished one.
   */
  readonly refresh: () => Promise<void> = coalesced(() => this.#read());

  async #read(): Promise<void> {
    const { files, places, heartbeat, deadAfterMs } = this.#options;
    const alive = new Map<string, LivingWriter>();
    for (const name of await listDirectory(files, places.writers)) {
      if (heartbeat.isCurrent(name)) continue;
      const before = this.#alive.get(name);
      const text = await this.#readHeartbeat(name, before?.text ?? unreadable);
      if (text === undefined) continue;
      // Measured since this process saw a change, by its own monotonic clock.
      const nowMs = performance.now();
      const changedAtMs = before === undefined || before.text !== text ? nowMs : before.changedAtMs;
      if (nowMs - changedAtMs > deadAfterMs) {
        await removeFile(files, join(places.writers, name));
        continue;
      }
      const line = parseHeartbeat(text) ?? before?.line ?? (text === unreadable ? unknownLine : newLine);
      alive.set(name, { text, line, changedAtMs });
    }
    this.#alive = alive;
  }

  isAlive(writer: string): boolean {
    return this.#options.heartbeat.isCurrent(writer) || this.#alive.has(writer);
  }

  /** Whether the file never grows again. */
  isFinished(kind: WriterFileKind, file: NumberedName): boolean {
    const writer = this.#alive.get(file.writer);
    if (writer === undefined) return this.#options.heartbeat.isFinished(kind, file);
    return isFinishedBy(writer.line, kind, file);
  }

  /**
   * How many octets of a segment of another living writer are on stable storage.
   * @returns undefined when all that is there counts: the segment is finished, or its writer does not say
   */
  syncedLength(segment: NumberedName): number | undefined {
    const writer = this.#alive.get(segment.writer);
    if (writer?.line.synced === undefined || isFinishedBy(writer.line, "segment", segment)) return undefined;
    const [openedMs, length] = writer.line.synced;
    return openedMs === segment.openedMs ? length : 0;
  }

  isFinishedName(kind: WriterFileKind, name: string): boolean {
    const file = parseNumberedName(name);
    return file !== undefined && this.isFinished(kind, file);
  }

  /**
   * Undefined when the writer has ended.
   * @param last  counts when the file cannot be read: the writer is then taken for dead in time, and takes a new name
   */
  async #readHeartbeat(name: string, last: string): Promise<string | undefined> {
    const { files, places, fileFaults } = this.#options;
    try {
      const fd = await openFile(files, join(places.writers, name), "r");
      try {
        const line = Buffer.alloc(heartbeatBytes);
        const count = await readFully(files, fd, line, heartbeatBytes, 0);
        fileFaults.over(`writers/${name}`);
        return line.toString("latin1", 0, count);
      } finally {
        await closeFile(files, fd);
      }
    } catch (error) {
      if (isMissing(error)) return undefined;
      fileFaults.met(`writers/${name}`, error);
      return last;
    }
  }
}
