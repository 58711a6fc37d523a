/** One status log of another process, read into the index as it grows. Owns its descriptor until end(). */
import type { Stats } from "node:fs";
import type { OnFault } from "../../fault.ts";
import type { FileFaults } from "../../file-faults.ts";
import { parseLog } from "../../records/status-format.ts";
import type { StateIndex } from "../../state-index.ts";
import {
  type BackgroundCloser,
  called,
  isMissing,
  openFile,
  readFully,
  type SpoolFiles,
} from "../disk/files.ts";
import { logPath, logPlace, type Places } from "../disk/names.ts";

export interface FollowedLogOptions {
  files: SpoolFiles;
  places: Places;
  index: StateIndex;
  fileFaults: FileFaults;
  onFault: OnFault;
}

/**
 * When an unreadable log is read again: soon at first, since many a failure is short, then less and less often, since each
 * read of a bad sector keeps the disk busy.
 */
const firstPauseMs = 500;
const longestPauseMs = 10_000;
/** How much is read at once then: a disk reads in blocks. */
const blockBytes = 4096;

const empty = Buffer.alloc(0);

export class FollowedLog {
  readonly #options: FollowedLogOptions;
  readonly #closer: BackgroundCloser;
  readonly #name: string;
  #fd: number | undefined;
  #position = 0;
  /** The beginning of a batch that was not complete yet. */
  #incomplete: Buffer = empty;
  #ended = false;
  /** When reading failed last, by `performance.now()`, and how long to wait after it. */
  #unreadable: { atMs: number; pauseMs: number } | undefined;

  constructor(name: string, options: FollowedLogOptions, closer: BackgroundCloser) {
    this.#name = name;
    this.#options = options;
    this.#closer = closer;
  }

  /** Octets that were read. */
  get bytes(): number {
    return this.#position;
  }

  /** The disk cannot read all of it, so that the index lacks some of what it says. */
  get isUnreadable(): boolean {
    return this.#unreadable !== undefined;
  }

  /** The next readAppended() reads it, whenever it could not be read last. */
  readAgain(): void {
    if (this.#unreadable !== undefined) this.#unreadable.atMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Reads what was appended since the last call. A log that is gone, or was ended, has nothing more. Of a log that the
   * disk cannot read the rest counts: mail that is delivered twice is better than mail that is not delivered at all.
   * @param window  memory for one read
   */
  async readAppended(window: Buffer): Promise<void> {
    const { files, places, fileFaults } = this.#options;
    if (this.#ended) return;
    const failed = this.#unreadable;
    if (failed !== undefined && performance.now() - failed.atMs < failed.pauseMs) return;
    try {
      this.#fd ??= await openFile(files, logPath(places, this.#name), "r");
      if (failed === undefined) await this.#readOn(this.#fd, window);
      else await this.#readWhole(this.#fd, undefined);
    } catch (error) {
      if (isMissing(error)) return;
      fileFaults.met(logPlace(this.#name), error);
      const pauseMs = failed === undefined ? firstPauseMs : Math.min(failed.pauseMs * 2, longestPauseMs);
      this.#unreadable = { atMs: performance.now(), pauseMs };
      if (this.#fd !== undefined) await this.#readWhole(this.#fd, error).catch(() => {});
    }
  }

  async #readOn(fd: number, window: Buffer): Promise<void> {
    const { files } = this.#options;
    let count: number;
    do {
      count = await readFully(files, fd, window, window.length, this.#position);
      if (count > 0) this.#parse(window.subarray(0, count));
    } while (count === window.length);
  }

  /**
   * Reads the log from its beginning, and replaces what the index has from it in one step.
   * @param failure  why it could not be read just now: blocks that cannot be read are left out. Without one they throw.
   */
  async #readWhole(fd: number, failure: unknown): Promise<void> {
    const { files, index, fileFaults } = this.#options;
    const { size } = await called<Stats>((end) => files.fstat(fd, end));
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < size; at += blockBytes) {
      const block = bytes.subarray(at, Math.min(size, at + blockBytes));
      const reading = readFully(files, fd, block, block.length, at);
      await (failure === undefined ? reading : reading.catch(() => 0));
    }
    index.dropSource(this.#name);
    this.#position = 0;
    this.#incomplete = empty;
    if (failure === undefined) {
      this.#unreadable = undefined;
      fileFaults.over(logPlace(this.#name));
    }
    this.#parse(bytes);
  }

  /** Closes the descriptor: the log never grows again, or is gone. */
  end(): void {
    this.#ended = true;
    if (this.#fd !== undefined) this.#closer.close(this.#fd, "a status log");
    this.#fd = undefined;
    this.#incomplete = empty;
  }

  #parse(octets: Buffer): void {
    const { index, onFault } = this.#options;
    const bytes = this.#incomplete.length === 0 ? octets : Buffer.concat([this.#incomplete, octets]);
    const start = this.#position - this.#incomplete.length;
    const { entries, damaged, consumed } = parseLog(bytes);
    for (const { id, entry } of entries) index.apply(id, entry, this.#name);
    // Blocks that were left out are reported already.
    if (this.isUnreadable) damaged.length = 0;
    for (const { offset, length } of damaged)
      onFault({ kind: "damaged", place: `${this.#name}.log`, offset: start + offset, length });
    this.#incomplete = consumed === bytes.length ? empty : Buffer.from(bytes.subarray(consumed));
    this.#position += octets.length;
  }
}
