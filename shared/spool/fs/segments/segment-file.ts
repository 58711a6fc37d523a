/** A segment that this process writes. It owns its descriptor until the caller closes it. */
import type { OnFault } from "../../fault.ts";
import { type NumberedName, numberedName } from "../../records/names.ts";
import { closeFile, done, openFile, type SpoolFiles, syncDirectory, writeFully } from "../disk/files.ts";
import { type Places, segmentPath } from "../disk/names.ts";

export interface SegmentFileOptions {
  files: SpoolFiles;
  places: Places;
  monotonicMs: () => number;
  onFault: OnFault;
}

export class SegmentFile {
  readonly #options: SegmentFileOptions;
  readonly fd: number;
  readonly name: string;
  readonly parsedName: NumberedName;
  /** By `monotonicMs`. */
  readonly createdAtMs: number;
  /** Octets that were acknowledged; nothing after them counts. */
  length = 0;

  private constructor(options: SegmentFileOptions, fd: number, parsedName: NumberedName) {
    this.#options = options;
    this.fd = fd;
    this.name = numberedName(parsedName);
    this.parsedName = parsedName;
    this.createdAtMs = options.monotonicMs();
  }

  /**
   * Creates the file and makes its name durable.
   * @throws the file system's errors
   */
  static async create(options: SegmentFileOptions, parsedName: NumberedName): Promise<SegmentFile> {
    const { files, places } = options;
    const fd = await openFile(files, segmentPath(places, numberedName(parsedName)), "wx");
    try {
      await syncDirectory(files, places.segments);
    } catch (error) {
      await closeFile(files, fd).catch(() => {});
      throw error;
    }
    return new SegmentFile(options, fd, parsedName);
  }

  /** Writes after the acknowledged octets. */
  write(pieces: Buffer[]): Promise<void> {
    return writeFully(this.#options.files, this.fd, pieces, this.length);
  }

  sync(): Promise<void> {
    return done((end) => this.#options.files.fdatasync(this.fd, end));
  }

  /**
   * Erases what was written and not acknowledged, durably, before the clients are refused: a refused message must
   * not be delivered after a restart. What a crash leaves before that was never answered, and a client without an
   * answer has to expect both (RFC 1047).
   * @returns whether it could be erased
   */
  async wipe(): Promise<boolean> {
    try {
      await done((end) => this.#options.files.ftruncate(this.fd, this.length, end));
      await this.sync();
      return true;
    } catch (error) {
      this.#options.onFault({ kind: "not-wiped", place: this.name, error });
      return false;
    }
  }
}
