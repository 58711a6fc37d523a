/**
 * The name under which this process writes to the spool, and its heartbeat.
 *
 * Each process that writes has a name, and a file under that name whose only line it rewrites every few seconds.
 * Another process that sees no change for long takes the writer for dead and removes the file: from then on the
 * writer's segments and logs count as finished. The writer looks for its file after each write and before it
 * acknowledges anything, so what was acknowledged was written before its files counted as finished. The line also says
 * how much of the segment that it writes is on stable storage: others read no further. A process that
 * was suspended meanwhile finds that the file is gone: it is fenced, takes a new name and writes again. Clocks of
 * different machines are never compared.
 *
 * Owns the heartbeat file, a descriptor of it and a timer, until close().
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { OnFault } from "../../fault.ts";
import { type NumberedName, writerName } from "../../records/names.ts";
import { Sequence } from "../../sequence.ts";
import { SpoolUnavailable } from "../../spool.ts";
import {
  BackgroundCloser,
  closeFile,
  isMissing,
  openFile,
  removeFile,
  type SpoolFiles,
  statFile,
  writeFully,
} from "../disk/files.ts";
import type { Places } from "../disk/names.ts";

/** Octets of the line: always as many, so that one write replaces it. */
export const heartbeatBytes = 128;

/** What the heartbeat file says. */
export interface HeartbeatLine {
  /** Segments opened before this time (epoch milliseconds) are finished. */
  segmentsFrom: number;
  /** The same for status logs. */
  logsFrom: number;
  /** Changes with every write of the line. */
  beat: number;
  /**
   * `openedMs` of the segment that is being written, and its octets that are on stable storage: what comes after them may
   * be taken back yet, and its clients be refused. Absent in lines of version 0.1, whose readers do not know it either.
   */
  synced?: readonly [openedMs: number, length: number];
}

const nothingSynced = [0, 0] as const;

export type WriterFileKind = "segment" | "log";

export function isFinishedBy(line: HeartbeatLine, kind: WriterFileKind, { openedMs }: NumberedName): boolean {
  return openedMs < (kind === "segment" ? line.segmentsFrom : line.logsFrom);
}

export interface HeartbeatOptions {
  files: SpoolFiles;
  places: Places;
  /** How often the line is rewritten. */
  heartbeatMs: number;
  onFault: OnFault;
  nowMs: () => number;
}

export class WriterHeartbeat {
  readonly #options: HeartbeatOptions;
  readonly #timer: NodeJS.Timeout;
  /** Writes never overlap, since an older line must not replace a newer one. */
  readonly #writes = new Sequence();
  readonly #closer: BackgroundCloser;
  #starting: Promise<string> | undefined;
  #name: string | undefined;
  /** The file under that name: its path, which every commit asks for, and a descriptor. */
  #file: { path: string; fd: number } | undefined;
  readonly #formerNames = new Set<string>();
  #line: HeartbeatLine = { segmentsFrom: 0, logsFrom: 0, beat: 0, synced: nothingSynced };
  #lastOpenedMs = 0;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#closer = new BackgroundCloser(options.files, options.onFault);
    this.#timer = setInterval(() => this.#beat(), options.heartbeatMs).unref();
  }

  /** The name to open files under; taken on first use, since many processes only read. */
  name(): Promise<string> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  isCurrent(name: string): boolean {
    return this.#name === name;
  }

  /** Whether this process writes, or wrote, under the name. */
  isOwn(name: string): boolean {
    return this.#name === name || this.#formerNames.has(name);
  }

  /** The time for the name of a new file: rises with every call. */
  nextOpenedMs(): number {
    this.#lastOpenedMs = Math.max(this.#lastOpenedMs + 1, this.#options.nowMs());
    return this.#lastOpenedMs;
  }

  /**
   * To be asked after every write.
   * @returns true when the writes under this name do not count and have to be repeated under a new one
   */
  async isFenced(name: string): Promise<boolean> {
    const path = this.#name === name && this.#file !== undefined ? this.#file.path : this.#path(name);
    if ((await statFile(this.#options.files, path)) !== undefined) return false;
    this.#giveUpName(name);
    return true;
  }

  /**
   * Shows other processes how much of a segment is on stable storage. To be called before anything of it is acknowledged:
   * from then on they schedule it.
   * @returns false when the writes under this name do not count and have to be repeated under a new one
   * @throws the file system's errors
   */
  announceSynced({ writer, openedMs }: NumberedName, length: number): Promise<boolean> {
    return this.#writes.run(async () => {
      const file = this.#file;
      if (this.#name !== writer || file === undefined) return false;
      this.#line.synced = [openedMs, length];
      // On the path of each message, hence both at once and without opening the file: what the segment has was on stable
      // storage before, and a file that is removed after this look makes all of it count.
      const [, isFenced] = await Promise.all([this.#writeLine(file.fd), this.isFenced(writer)]);
      return !isFenced;
    });
  }

  /** Shows other processes that this file is finished, and all of its kind that were opened before it. */
  announceFinished(kind: WriterFileKind, file: NumberedName): void {
    if (file.writer !== this.#name) return;
    const from = file.openedMs + 1;
    if (kind === "segment") this.#line.segmentsFrom = Math.max(this.#line.segmentsFrom, from);
    else this.#line.logsFrom = Math.max(this.#line.logsFrom, from);
    this.#beat();
  }

  isFinished(kind: WriterFileKind, file: NumberedName): boolean {
    return file.writer !== this.#name || isFinishedBy(this.#line, kind, file);
  }

  /** Afterwards everything of this writer counts as finished. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#starting?.catch(() => {});
    await this.#writes.idle();
    const name = this.#name;
    if (name !== undefined) {
      this.#retireName(name);
      await removeFile(this.#options.files, this.#path(name));
    }
    await this.#writes.idle();
    await this.#closer.idle();
  }

  async #start(): Promise<string> {
    const name = writerName(randomBytes(12));
    this.#line.synced = nothingSynced;
    const { files } = this.#options;
    const path = this.#path(name);
    const fd = await openFile(files, path, "wx");
    try {
      await this.#writeLine(fd);
    } catch (error) {
      await closeFile(files, fd).catch(() => {});
      throw error;
    }
    this.#name = name;
    this.#file = { path, fd };
    return name;
  }

  #beat(): void {
    void this.#writes.run(async () => {
      const name = this.#name;
      if (name === undefined) return;
      try {
        await this.#rewriteLine(name);
      } catch (error) {
        this.#options.onFault({ kind: "background", doing: "writing the heartbeat", error });
      }
    });
  }

  /**
   * Opened and closed each time: machines that share the directory by NFS see what was written when the file is closed.
   * A file that another process has removed is never created again: this writer is fenced.
   */
  async #rewriteLine(name: string): Promise<void> {
    const { files } = this.#options;
    try {
      const fd = await openFile(files, this.#path(name), "r+");
      try {
        await this.#writeLine(fd);
      } finally {
        await closeFile(files, fd);
      }
    } catch (error) {
      if (!isMissing(error)) throw error;
      this.#giveUpName(name);
    }
  }

  #writeLine(fd: number): Promise<void> {
    this.#line.beat++;
    return writeFully(this.#options.files, fd, [formatHeartbeat(this.#line)], 0);
  }

  #giveUpName(name: string): void {
    if (this.#name !== name) return;
    this.#retireName(name);
    this.#starting = undefined;
    this.#options.onFault({ kind: "fenced", writer: name });
  }

  #retireName(name: string): void {
    const fd = this.#file?.fd;
    this.#name = undefined;
    this.#file = undefined;
    this.#formerNames.add(name);
    // After a write to it that is under way: another file may have its number then.
    if (fd !== undefined) void this.#writes.run(async () => this.#closer.close(fd, `heartbeat ${name}`));
  }

  #path(name: string): string {
    return join(this.#options.places.writers, name);
  }
}

/**
 * Repeats a write under a new name when this process was fenced meanwhile.
 * @param write  resolves with undefined when its name was fenced; `attempt` counts from 1
 * @throws SpoolUnavailable after as many attempts: it would be fenced every time
 */
export async function unlessFenced<T>(
  attempts: number,
  write: (attempt: number) => Promise<T | undefined>,
): Promise<T> {
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const written = await write(attempt);
    if (written !== undefined) return written;
  }
  throw new SpoolUnavailable("other processes keep taking this one for dead");
}

function formatHeartbeat(line: HeartbeatLine): Buffer {
  return Buffer.from(`${JSON.stringify(line).padEnd(heartbeatBytes - 1)}\n`);
}

/** Undefined for an incomplete line: the file was read between its creation and its first write. */
export function parseHeartbeat(text: string): HeartbeatLine | undefined {
  try {
    const { segmentsFrom, logsFrom, beat, synced } = JSON.parse(text) as Partial<HeartbeatLine>;
    if (typeof segmentsFrom !== "number" || typeof logsFrom !== "number" || typeof beat !== "number")
      return undefined;
    return { segmentsFrom, logsFrom, beat, ...(synced !== undefined && { synced }) };
  } catch {
    return undefined;
  }
}
