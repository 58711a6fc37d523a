/** The free and the used space of a spool. The free space is watched, so that asking costs nothing. Owns a timer until close(). */
import { constants, type StatsFs } from "node:fs";
import { join, relative } from "node:path";
import type { OnFault } from "../../fault.ts";
import type { FileFaults } from "../../file-faults.ts";
import { coalesced } from "../../sequence.ts";
import { SpoolFull } from "../../spool.ts";
import { called, closeFile, done, listDirectory, openFile, type SpoolFiles, statFile } from "./files.ts";
import { numberedNames, type Places } from "./names.ts";

const watchEveryMs = 1000;
/** Files whose size is asked for at the same time. */
const statsAtOnce = 32;

/** Nearer to the reserve than this, free space is asked for before each write: other processes write, too. */
const nearBytes = 256 * 1024 * 1024;

export interface DiskSpaceOptions {
  files: SpoolFiles;
  places: Places;
  /** The reserve: octets that bodies and records leave free, so that mail can still be settled and collected. */
  minFreeBytes: number;
  onFault: OnFault;
  fileFaults: FileFaults;
}

export class DiskSpace {
  readonly #options: DiskSpaceOptions;
  readonly #timer: NodeJS.Timeout;
  /** As long as it is not known, there is enough: a write would fail. */
  #freeBytes = Number.POSITIVE_INFINITY;
  /** Octets that are being written, and those that were written since free space was asked for. */
  #writing = 0;
  #written = 0;
  readonly #ask = coalesced(() => this.#askFree());

  constructor(options: DiskSpaceOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#ask(), watchEveryMs).unref();
    void this.#ask();
  }

  /**
   * Whether a message can be begun, by what was free a second ago and what was written or promised since.
   * @param promised  octets that open drafts hold in memory
   * @throws SpoolFull
   */
  mustHaveRoom(promised: number): void {
    this.#mustLeaveReserve(promised);
  }

  /**
   * Writes octets unless they would take the reserve.
   * @throws SpoolFull, or what `write` throws
   */
  async use<T>(octets: number, write: () => Promise<T>): Promise<T> {
    const { minFreeBytes } = this.#options;
    const isKnown = this.#freeBytes < Number.POSITIVE_INFINITY;
    if (minFreeBytes > 0 && !(isKnown && this.#available() - octets >= minFreeBytes + nearBytes)) {
      await this.#ask();
      this.#mustLeaveReserve(octets);
    }
    this.#writing += octets;
    try {
      return await write();
    } finally {
      this.#writing -= octets;
      this.#written += octets;
    }
  }

  /** Octets free by what was free a second ago, without what was written or promised since. See mustHaveRoom(). */
  known(promised: number): number {
    return this.#available() - promised;
  }

  async askFree(): Promise<number> {
    await this.#ask();
    return this.#freeBytes;
  }

  /**
   * Whether files can be written now, by what the file system says of itself, and whether this process can open one: without
   * descriptors it takes no connection either, and the kernel tells nobody.
   * @throws SpoolFull, or the file system's errors
   */
  async checkWritable(): Promise<void> {
    const { files, places } = this.#options;
    await this.#ask();
    await closeFile(files, await openFile(files, places.root, "r"));
    await done((end) => files.access(places.root, constants.W_OK, end));
    this.#mustLeaveReserve(0);
  }

  #available(): number {
    return this.#freeBytes - this.#writing - this.#written;
  }

  #mustLeaveReserve(octets: number): void {
    const { minFreeBytes } = this.#options;
    if (this.#available() - octets >= minFreeBytes) return;
    const reserve = Math.ceil(minFreeBytes / 2 ** 20);
    throw new SpoolFull(`less than ${reserve} MB would be left, which are kept for mail that was accepted`);
  }

  async #askFree(): Promise<void> {
    const { files, places, onFault } = this.#options;
    // What is written while the question is under way may be in its answer or not, and counts.
    this.#written = 0;
    try {
      const stats = await called<StatsFs>((end) => files.statfs(places.root, end));
      // Available to this user; `bfree` includes what is reserved for root.
      this.#freeBytes = stats.bavail * stats.bsize;
    } catch (error) {
      onFault({ kind: "background", doing: "asking for free space", error });
    }
  }

  /**
   * Asks for the size of every file: for metrics, not on the path of a message.
   * @throws the file system's errors
   */
  async measureUsed(): Promise<{ bytesUsed: number; segments: number }> {
    const { segments, statusLogs, large, moved, damaged } = this.#options.places;
    let bytesUsed = 0;
    for (const place of [segments, statusLogs, large, moved, damaged]) {
      const names = await listDirectory(this.#options.files, place);
      for (let start = 0; start < names.length; start += statsAtOnce) {
        const some = names.slice(start, start + statsAtOnce);
        const sizes = await Promise.all(some.map((name) => this.#sizeOf(join(place, name))));
        for (const size of sizes) bytesUsed += size;
      }
    }
    const listing = await listDirectory(this.#options.files, segments);
    return { bytesUsed, segments: numberedNames(listing, ".seg").length };
  }

  /** 0 for a file that is gone, or cannot be asked. */
  async #sizeOf(path: string): Promise<number> {
    try {
      return (await statFile(this.#options.files, path))?.size ?? 0;
    } catch (error) {
      this.#options.fileFaults.met(relative(this.#options.places.root, path), error);
      return 0;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
