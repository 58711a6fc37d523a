/** A status log that this process writes. It owns its descriptor until close(). */
import type { OnFault } from "../../fault.ts";
import { type NumberedName, numberedName } from "../../records/names.ts";
import type { StatusBatch } from "../../records/status-batch.ts";
import {
  closeFile,
  done,
  openFile,
  removeFile,
  type SpoolFiles,
  syncDirectory,
  writeFully,
} from "../disk/files.ts";
import { logPath, type Places } from "../disk/names.ts";

export interface StatusLogFileOptions {
  files: SpoolFiles;
  places: Places;
  monotonicMs: () => number;
  onFault: OnFault;
}

export class StatusLogFile {
  readonly #options: StatusLogFileOptions;
  readonly #fd: number;
  readonly name: string;
  readonly parsedName: NumberedName;
  /** By `monotonicMs`. */
  readonly createdAtMs: number;
  /** Octets that were acknowledged. */
  length = 0;
  #isNameDurable = false;
  /** Acknowledged, and not known to be on stable storage. */
  #unsynced: StatusBatch[] = [];

  private constructor(options: StatusLogFileOptions, fd: number, parsedName: NumberedName) {
    this.#options = options;
    this.#fd = fd;
    this.name = numberedName(parsedName);
    this.parsedName = parsedName;
    this.createdAtMs = options.monotonicMs();
  }

  /** @throws the file system's errors */
  static async create(options: StatusLogFileOptions, parsedName: NumberedName): Promise<StatusLogFile> {
    const fd = await openFile(options.files, logPath(options.places, numberedName(parsedName)), "wx");
    return new StatusLogFile(options, fd, parsedName);
  }

  /** Writes after the acknowledged octets. */
  write(batches: readonly StatusBatch[]): Promise<void> {
    const text = batches.map((batch) => batch.text);
    return writeFully(this.#options.files, this.#fd, text, this.length);
  }

  /** The batches that were written last count. */
  acknowledge(batches: readonly StatusBatch[]): void {
    for (const { text } of batches) this.length += text.length;
    this.#unsynced.push(...batches);
  }

  get hasUnsynced(): boolean {
    return this.#unsynced.length > 0;
  }

  async sync(): Promise<void> {
    const { files, places } = this.#options;
    await this.#fdatasync();
    if (!this.#isNameDurable) await syncDirectory(files, places.statusLogs);
    this.#isNameDurable = true;
    this.#unsynced = [];
  }

  /** The batches that sync() could not make durable; the caller writes them elsewhere. */
  takeUnsynced(): StatusBatch[] {
    const unsynced = this.#unsynced;
    this.#unsynced = [];
    return unsynced;
  }

  async close(): Promise<void> {
    const { files, places } = this.#options;
    const report = (error: unknown): void =>
      this.#options.onFault({ kind: "background", doing: "closing a status log", error });
    if (this.hasUnsynced) await this.#fdatasync().catch(report);
    await closeFile(files, this.#fd).catch(report);
    // Nothing in it was acknowledged: on a full disk, attempts must not leave a file each.
    if (this.length === 0) await removeFile(files, logPath(places, this.name)).catch(() => {});
  }

  #fdatasync(): Promise<void> {
    return done((end) => this.#options.files.fdatasync(this.#fd, end));
  }
}
