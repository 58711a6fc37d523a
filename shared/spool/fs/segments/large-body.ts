/**
 * Bodies in files of their own: written with back-pressure, read with their checksum verified.
 * A LargeBodyWriter owns its file until finish() or discard(); a LargeBodyStream owns its descriptor.
 */
import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import type { LargeBody } from "../../records/draft.ts";
import { SpoolCorrupt, SpoolUnavailable } from "../../spool.ts";
import type { StorageWatch } from "../../storage-watch.ts";
import {
  called,
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
import { largePath, type Places } from "../disk/names.ts";
import type { DiskSpace } from "../disk/space.ts";

/** Octets that may wait for the disk before the sender has to wait. */
const highWaterBytes = 1024 * 1024;
const readBytes = 256 * 1024;

export class LargeBodyWriter implements LargeBody {
  readonly #files: SpoolFiles;
  readonly #places: Places;
  readonly #space: DiskSpace;
  readonly #disk: StorageWatch;
  readonly #makeName: () => Promise<string>;
  #name: string | undefined;
  #fd: number | undefined;
  #position = 0;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #flushing: Promise<void> | undefined;
  #failure: Error | undefined;

  /** @param makeName  gives the name of the file, without its ending; called once */
  constructor(
    {
      files,
      places,
      space,
      disk,
    }: { files: SpoolFiles; places: Places; space: DiskSpace; disk: StorageWatch },
    makeName: () => Promise<string>,
  ) {
    this.#files = files;
    this.#places = places;
    this.#space = space;
    this.#disk = disk;
    this.#makeName = makeName;
  }

  /** @throws the error of an earlier write */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    this.#flushing ??= this.#flush();
    return this.#queuedBytes > highWaterBytes ? this.#flushed() : undefined;
  }

  /**
   * Resolves when the body is on stable storage; the caller syncs the directory.
   * @returns the name of the file, without its ending
   */
  async finish(): Promise<string> {
    await this.#flushed();
    const fd = this.#fd;
    const name = this.#name;
    if (fd === undefined || name === undefined) throw new Error("a large body without octets");
    try {
      const sync = (): Promise<void> => done((end) => this.#files.fdatasync(fd, end));
      await this.#disk.watch("writing a large message", sync);
    } catch (error) {
      throw spoolError(error, "the message's body could not be stored");
    }
    this.#fd = undefined;
    await closeFile(this.#files, fd).catch(() => {});
    return name;
  }

  /** Removes the file. */
  async discard(): Promise<void> {
    this.#queue = [];
    await this.#flushing;
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) await closeFile(this.#files, fd).catch(() => {});
    // A file that stays is an orphan, which the collector removes.
    if (this.#name !== undefined) await removeFile(this.#files, this.#path(this.#name)).catch(() => {});
  }

  #path(name: string): string {
    return largePath(this.#places, name);
  }

  async #flushed(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Never rejects: the next write() or finish() throws the failure. */
  async #flush(): Promise<void> {
    try {
      this.#name ??= await this.#makeName();
      this.#fd ??= await openFile(this.#files, this.#path(this.#name), "wx");
      while (this.#queue.length > 0) {
        const pieces = this.#queue;
        const bytes = this.#queuedBytes;
        this.#queue = [];
        const fd = this.#fd;
        const write = (): Promise<void> => writeFully(this.#files, fd, pieces, this.#position);
        await this.#disk.watch("writing a large message", () => this.#space.use(bytes, write), false);
        this.#position += bytes;
        this.#queuedBytes -= bytes;
      }
    } catch (error) {
      this.#failure = spoolError(error, "the message's body could not be stored");
      this.#queue = [];
    } finally {
      this.#flushing = undefined;
    }
  }
}

/**
 * Emits SpoolCorrupt instead of its end when the octets are not those that were stored, and SpoolUnavailable when a second look,
 * by a descriptor of its own, finds that they are: then another attempt helps.
 */
export class LargeBodyStream extends Readable {
  readonly #files: SpoolFiles;
  readonly #path: string;
  readonly #expected: { size: number; crc: number };
  readonly #onUnreadable: (error: unknown) => void;
  #fd: number | undefined;
  #position = 0;
  #crc = 0;

  /** @param onUnreadable  hears of errors of the disk */
  constructor(
    files: SpoolFiles,
    path: string,
    expected: { size: number; crc: number },
    onUnreadable: (error: unknown) => void,
  ) {
    super({ highWaterMark: readBytes });
    this.#files = files;
    this.#path = path;
    this.#expected = expected;
    this.#onUnreadable = onUnreadable;
  }

  override _construct(ready: (error?: Error | null) => void): void {
    this.#files.open(this.#path, "r", 0, (error, fd) => {
      if (error) {
        this.#onUnreadable(error);
        ready(spoolError(error, "the message's body could not be opened"));
        return;
      }
      this.#fd = fd;
      ready();
    });
  }

  override _read(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    const left = this.#expected.size - this.#position;
    if (left === 0) {
      if (this.#crc === this.#expected.crc) this.push(null);
      else this.#end("does not match its checksum");
      return;
    }
    const chunk = Buffer.allocUnsafe(Math.min(readBytes, left));
    called<number>((end) => this.#files.read(fd, chunk, 0, chunk.length, this.#position, end)).then(
      (count) => {
        if (count === 0) {
          this.#end("is cut short");
          return;
        }
        const octets = chunk.subarray(0, count);
        this.#position += count;
        this.#crc = crc32(octets, this.#crc);
        this.push(octets);
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    this.#onUnreadable(error);
    this.destroy(spoolError(error, "the message's body could not be read"));
  }

  /** The octets that were read are not those that were stored. */
  #end(fault: string): void {
    this.#isWholeNow().then(
      (isWhole) => {
        const said = `the body in ${this.#path} ${fault}`;
        this.destroy(
          isWhole
            ? new SpoolUnavailable(`${said} as it was read first, and is whole when it is read again`)
            : new SpoolCorrupt(said),
        );
      },
      (error: unknown) => this.#fail(error),
    );
  }

  async #isWholeNow(): Promise<boolean> {
    const { size, crc } = this.#expected;
    const fd = await openFile(this.#files, this.#path, "r").catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (fd === undefined) return false;
    try {
      const chunk = Buffer.allocUnsafe(readBytes);
      let found = 0;
      let position = 0;
      while (position < size) {
        const length = Math.min(readBytes, size - position);
        if ((await readFully(this.#files, fd, chunk, length, position)) < length) return false;
        found = crc32(chunk.subarray(0, length), found);
        position += length;
      }
      return found === crc;
    } finally {
      await closeFile(this.#files, fd);
    }
  }

  override _destroy(error: Error | null, ended: (error?: Error | null) => void): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined) ended(error);
    else this.#files.close(fd, (closing) => ended(error ?? closing));
  }
}
