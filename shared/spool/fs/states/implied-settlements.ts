/**
 * Settlements that records imply. A message may settle another one with its own record, so that both happen or
 * neither. Its writer notes the settlement in a status log as well, at once; if the process died in between, or the
 * machine lost the last second of its logs, only the records say so. Owns nothing.
 */

import type { FileFaults } from "../../file-faults.ts";
import { parseNumberedName } from "../../records/names.ts";
import type { ScannedRecord } from "../../records/window.ts";
import type { StateIndex } from "../../state-index.ts";
import { isMissing, type SpoolFiles } from "../disk/files.ts";
import { type Places, segmentPath, segmentPlace } from "../disk/names.ts";
import { scanSegment } from "../segments/scan.ts";
import type { WriterHeartbeat } from "../writers/heartbeat.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";

export interface ImpliedSettlementsOptions {
  files: SpoolFiles;
  places: Places;
  heartbeat: WriterHeartbeat;
  registry: WriterRegistry;
  fileFaults: FileFaults;
  /** Takes what finished segments say, for good. */
  index: StateIndex;
  /**
   * Takes what growing segments say. When the disk fails, a writer of version 0.1, which does not say what is on stable
   * storage, takes its last records back, and these settlements are dropped: good enough to answer what a recipient's state is, not to free a message.
   */
  implied: StateIndex;
}

/** The last record that was read of a growing segment. If it is another one later, the writer has taken it back. */
interface LastRead {
  offset: number;
  checksum: number;
}

export class ImpliedSettlements {
  readonly #options: ImpliedSettlementsOptions;
  readonly #finished = new Set<string>();
  readonly #growing = new Map<string, LastRead>();

  constructor(options: ImpliedSettlementsOptions) {
    this.#options = options;
  }

  /**
   * @param segments  the names of all segments that may settle messages, listed before the logs were last read: the
   *                  settlements of a segment that is gone were in a log before
   */
  async refresh(segments: readonly string[]): Promise<void> {
    const { heartbeat, registry, fileFaults } = this.#options;
    this.#dropGone(new Set(segments));
    for (const name of segments) {
      const file = parseNumberedName(name);
      // Settlements by this process' own records have been in the index since the commit.
      if (file === undefined || heartbeat.isOwn(file.writer) || this.#finished.has(name)) continue;
      try {
        if (registry.isFinished("segment", file)) await this.#readFinished(name);
        else await this.#readGrowing(name);
      } catch (error) {
        // Read again at the next refresh; what a record settles is nearly always in a log as well.
        if (!isMissing(error)) fileFaults.met(segmentPlace(name), error);
      }
    }
  }

  #dropGone(present: ReadonlySet<string>): void {
    const { index, implied } = this.#options;
    for (const name of this.#finished) {
      if (present.has(name)) continue;
      this.#finished.delete(name);
      index.dropSource(name);
    }
    for (const name of this.#growing.keys()) {
      if (present.has(name)) continue;
      this.#growing.delete(name);
      implied.dropSource(name);
    }
  }

  async #readFinished(name: string): Promise<void> {
    const { index, implied } = this.#options;
    // Entries of an earlier attempt that failed.
    index.dropSource(name);
    for await (const group of this.#scan(name, 0))
      for (const { extra } of group) if (extra.settles) index.apply(extra.settles.id, extra.settles, name);
    this.#finished.add(name);
    this.#growing.delete(name);
    implied.dropSource(name);
  }

  async #readGrowing(name: string): Promise<void> {
    if (await this.#readOn(name, this.#growing.get(name))) return;
    this.#growing.delete(name);
    this.#options.implied.dropSource(name);
    await this.#readOn(name, undefined);
  }

  /** @returns false when the record at `last` is not there any more; nothing was read then */
  async #readOn(name: string, last: LastRead | undefined): Promise<boolean> {
    let isLastFound = last === undefined;
    for await (const group of this.#scan(name, last?.offset ?? 0)) {
      for (const record of group) {
        if (isLastFound) this.#apply(name, record);
        else if (record.offset === last?.offset && record.header.checksum === last.checksum)
          isLastFound = true;
        else return false;
      }
    }
    return isLastFound;
  }

  #apply(name: string, { offset, header, extra }: ScannedRecord): void {
    if (extra.settles) this.#options.implied.apply(extra.settles.id, extra.settles, name);
    this.#growing.set(name, { offset, checksum: header.checksum });
  }

  #scan(segment: string, position: number) {
    const { files, places, registry } = this.#options;
    const path = segmentPath(places, segment);
    // The collector reports damage, once.
    const parsed = parseNumberedName(segment);
    const limit = parsed && registry.syncedLength(parsed);
    const scan = {
      files,
      path,
      segment,
      closed: false,
      onFault: () => {},
      ...(limit !== undefined && { limit }),
    };
    return scanSegment(scan, { position, damaged: false });
  }
}
