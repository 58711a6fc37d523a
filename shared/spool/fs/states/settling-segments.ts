/**
 * What records settle by being there. A message may settle others with its own record, so that both happen or
 * neither. Its writer notes that in a log too, at once; if it died in between, or the machine lost the last second
 * of its logs, the records alone say so. Owns nothing.
 */
import { join } from "node:path";
import type { StateIndex } from "../../state-index.ts";
import { isMissing, type SpoolFiles } from "../disk/files.ts";
import { type Places, parseNumberedName } from "../disk/names.ts";
import { scanSegment } from "../segments/scan.ts";
import type { OwnWriter } from "../writers/own-writer.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";

export interface SettlingSegmentsOptions {
  files: SpoolFiles;
  places: Places;
  own: OwnWriter;
  registry: WriterRegistry;
  /** Takes what finished segments say, for good. */
  index: StateIndex;
  /**
   * Takes what growing segments say. A living writer may yet take its last records back, when the disk fails, and
   * then it is dropped again: good enough to answer what a recipient's state is, not to free a message.
   */
  impliedSettlements: StateIndex;
}

/** How far a growing segment was read. */
interface Reading {
  /** The last record that was seen; where it is no longer the same, the writer has taken it back. */
  last: { offset: number; checksum: number } | undefined;
}

export class SettlingSegments {
  readonly #options: SettlingSegmentsOptions;
  readonly #finished = new Set<string>();
  readonly #growing = new Map<string, Reading>();

  constructor(options: SettlingSegmentsOptions) {
    this.#options = options;
  }

  /**
   * @param segments  the names of all segments, listed before the logs were last read: what a segment that is gone
   *                  had settled stood in a log before
   */
  async refresh(segments: readonly string[]): Promise<void> {
    const { own, registry } = this.#options;
    this.#dropGone(new Set(segments));
    for (const name of segments) {
      const file = parseNumberedName(name);
      // What this process' own records settle is in the index since they were committed.
      if (file?.settling !== true || own.isOwn(file.writer) || this.#finished.has(name)) continue;
      try {
        if (registry.isFinished("segment", file)) await this.#readFinished(name);
        else await this.#readGrowing(name);
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    }
  }

  #dropGone(present: ReadonlySet<string>): void {
    const { index, impliedSettlements } = this.#options;
    for (const name of this.#finished) {
      if (present.has(name)) continue;
      this.#finished.delete(name);
      index.dropSource(name);
    }
    for (const name of this.#growing.keys()) {
      if (present.has(name)) continue;
      this.#growing.delete(name);
      impliedSettlements.dropSource(name);
    }
  }

  async #readFinished(name: string): Promise<void> {
    const { index, impliedSettlements } = this.#options;
    // Nothing remains of an earlier attempt that failed.
    index.dropSource(name);
    for await (const group of this.#records(name, 0))
      for (const { extra } of group) if (extra.settles) index.apply(extra.settles.id, extra.settles, name);
    this.#finished.add(name);
    this.#growing.delete(name);
    impliedSettlements.dropSource(name);
  }

  async #readGrowing(name: string): Promise<void> {
    const { impliedSettlements } = this.#options;
    const { last } = this.#growing.get(name) ?? { last: undefined };
    const reading: Reading = { last };
    let same = last === undefined;
    for await (const group of this.#records(name, last?.offset ?? 0)) {
      for (const { offset, header, extra } of group) {
        if (!same) {
          same = offset === last?.offset && header.checksum === last.checksum;
          if (!same) break;
          continue;
        }
        if (extra.settles) impliedSettlements.apply(extra.settles.id, extra.settles, name);
        reading.last = { offset, checksum: header.checksum };
      }
      if (!same) break;
    }
    if (same) {
      this.#growing.set(name, reading);
      return;
    }
    impliedSettlements.dropSource(name);
    this.#growing.delete(name);
    await this.#readGrowing(name);
  }

  #records(segment: string, position: number) {
    const { files, places } = this.#options;
    const path = join(places.segments, `${segment}.seg`);
    // Damage is reported by the collector, once.
    const scan = { files, path, segment, closed: false, onFault: () => {} };
    return scanSegment(scan, { position, damaged: false });
  }
}
