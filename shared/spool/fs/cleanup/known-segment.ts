/**
 * What the collector knows of one segment (pure). Of a segment that is still written it keeps all ids; of a finished one no
 * more than some 130 KiB, however many messages it has: what the collector does not know then, it reads from the file.
 */
import { IdFilter } from "../../records/id-filter.ts";
import { IdList } from "../../records/id-list.ts";
import { type IndexedMessage, LargeBodies } from "../../records/large-bodies.ts";
import { parseNumberedName } from "../../records/names.ts";
import type { StateIndex } from "../../state-index.ts";
import { UnsettledSample } from "./unsettled-sample.ts";

export class KnownSegment {
  readonly name: string;
  readonly openedMs: number;
  /** When this process found it, by `monotonicMs`. */
  readonly foundAtMs: number;
  /** How far it has been walked. */
  readonly cursor: { position: number; damaged: boolean } = { position: 0, damaged: false };
  readonly large = new LargeBodies();
  /** Empty until it is complete. */
  unsettled = new UnsettledSample();
  /** How many of its records settle other messages. */
  settlements = 0;
  /** The number of the refresh after which damage was found in it, which was not there when it was read first. */
  suspectSince: number | undefined;
  /** How many it has. */
  messages = 0;
  /** All of them, or what is left of them when nothing is added any more. */
  #ids: IdList | IdFilter = new IdList();

  constructor(name: string, foundAtMs: number) {
    this.name = name;
    this.foundAtMs = foundAtMs;
    this.openedMs = parseNumberedName(name)?.openedMs ?? 0;
  }

  /** The segment never grows again, and all of it was walked. */
  get isComplete(): boolean {
    return this.#ids instanceof IdFilter;
  }

  /** Octets that its ids take. */
  get bytes(): number {
    return this.#ids.bytes + this.unsettled.bytes;
  }

  /** Its next message, while it is not complete. */
  add(message: IndexedMessage): void {
    if (this.#ids instanceof IdFilter) throw new Error(`segment ${this.name} is complete`);
    this.#ids.add(message.id, message.recipients);
    this.messages++;
    this.large.add(message);
  }

  complete(states: Pick<StateIndex, "isSettled">): void {
    if (this.#ids instanceof IdFilter) return;
    const filter = new IdFilter(this.#ids.length);
    for (const { id, recipients } of this.#ids.entries()) {
      filter.add(id);
      if (!states.isSettled(id, recipients)) this.unsettled.add(id, recipients);
    }
    this.unsettled.trim();
    this.#ids = filter;
  }

  /** Which messages it may have. */
  filter(): IdFilter {
    return this.#ids instanceof IdFilter ? this.#ids : IdFilter.of(this.#ids.ids(), this.#ids.length);
  }
}
