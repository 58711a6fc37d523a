/** One status log of another process, read into the index as it grows. Owns its descriptor until end(). */
import type { StateIndex } from "../../state-index.ts";
import type { OnFault } from "../disk/fault.ts";
import { type BackgroundCloser, isMissing, openFile, readFully, type SpoolFiles } from "../disk/files.ts";
import { logPath, type Places } from "../disk/names.ts";
import { parseLog } from "./status-format.ts";

export interface FollowedLogOptions {
  files: SpoolFiles;
  places: Places;
  index: StateIndex;
  onFault: OnFault;
}

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

  constructor(name: string, options: FollowedLogOptions, closer: BackgroundCloser) {
    this.#name = name;
    this.#options = options;
    this.#closer = closer;
  }

  /** Octets that were read. */
  get bytes(): number {
    return this.#position;
  }

  /**
   * Reads what was appended since the last call. A log that is gone, or was ended, has nothing more.
   * @param window  memory for one read
   * @throws the file system's errors
   */
  async readAppended(window: Buffer): Promise<void> {
    const { files, places } = this.#options;
    if (this.#ended) return;
    try {
      this.#fd ??= await openFile(files, logPath(places, this.#name), "r");
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    let count: number;
    do {
      count = await readFully(files, this.#fd, window, window.length, this.#position);
      if (count > 0) this.#parse(window.subarray(0, count));
    } while (count === window.length);
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
    for (const { offset, length } of damaged)
      onFault({ kind: "damaged", place: `${this.#name}.log`, offset: start + offset, length });
    this.#incomplete = consumed === bytes.length ? empty : Buffer.from(bytes.subarray(consumed));
    this.#position += octets.length;
  }
}
