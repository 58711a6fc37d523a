/**
 * Bodies in files of their own: written with back-pressure, read with their checksum verified.
 * A LargeBodyWriter owns its file until finish() or discard(); a LargeBodyStream owns its descriptor.
 */
import type { LargeBody } from "../../records/draft.ts";
import type { StorageWatch } from "../../storage-watch.ts";
import { StoredBodyStream } from "../../stored-body-stream.ts";
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

/** A large body in its file. The second look is by a descriptor of its own. */
export class LargeBodyStream extends StoredBodyStream {
  readonly #files: SpoolFiles;
  readonly #path: string;
  readonly #onUnreadable: (error: unknown) => void;
  #fd: number | undefined;

  /** @param onUnreadable  hears of errors of the disk */
  constructor(
    files: SpoolFiles,
    path: string,
    expected: { size: number; crc: number },
    onUnreadable: (error: unknown) => void,
  ) {
    super({ name: `the body in ${path}`, expected, pieceBytes: readBytes, highWaterMark: readBytes });
    this.#files = files;
    this.#path = path;
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
    if (this.#fd !== undefined) super._read();
  }

  protected async readPiece(position: number, length: number): Promise<Buffer> {
    const fd = this.#fd;
    const piece = Buffer.allocUnsafe(length);
    if (fd === undefined) return piece.subarray(0, 0);
    const count = await called<number>((end) => this.#files.read(fd, piece, 0, length, position, end));
    return piece.subarray(0, count);
  }

  protected async *readAgain(size: number): AsyncGenerator<Buffer, void> {
    const fd = await openFile(this.#files, this.#path, "r").catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (fd === undefined) return;
    try {
      const chunk = Buffer.allocUnsafe(readBytes);
      for (let position = 0; position < size; ) {
        const wanted = Math.min(readBytes, size - position);
        const length = await readFully(this.#files, fd, chunk, wanted, position);
        yield chunk.subarray(0, length);
        if (length < wanted) return;
        position += length;
      }
    } finally {
      await closeFile(this.#files, fd);
    }
  }

  protected failureOf(error: unknown): Error {
    this.#onUnreadable(error);
    return spoolError(error, "the message's body could not be read");
  }

  override _destroy(error: Error | null, ended: (error?: Error | null) => void): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined) ended(error);
    else this.#files.close(fd, (closing) => ended(error ?? closing));
  }
}
