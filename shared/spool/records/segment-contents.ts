/** Which messages a segment contains, as far as freeing its space needs it (pure). */
import type { StateIndex } from "../state-index.ts";
import { IdList } from "./id-list.ts";
import { parseNumberedName } from "./names.ts";
import type { TimedSettlement } from "./record.ts";

/** A message as the collector knows it. */
export interface IndexedMessage {
  readonly id: string;
  readonly recipients: number;
  /** Name of the body's own file. */
  readonly large: string | undefined;
}

/** The messages of one segment, in little memory, since there may be millions. */
export class SegmentContents {
  readonly name: string;
  readonly openedMs: number;
  /** When this process found it, by `monotonicMs`. */
  readonly foundAtMs: number;
  /** The segment never grows again, and all of it was walked. */
  complete = false;
  /** How far it has been walked. */
  readonly cursor: { position: number; damaged: boolean } = { position: 0, damaged: false };
  readonly messages = new IdList();
  /** By id. */
  readonly #large = new Map<string, string>();
  /** Settlements of other messages by its records. */
  readonly settlements: TimedSettlement[] = [];

  constructor(name: string, foundAtMs: number) {
    this.name = name;
    this.foundAtMs = foundAtMs;
    this.openedMs = parseNumberedName(name)?.openedMs ?? 0;
  }

  add({ id, recipients, large }: IndexedMessage): void {
    this.messages.add(id, recipients);
    if (large !== undefined) this.#large.set(id, large);
  }

  /** How many of its messages are not settled; stops counting above `most`. */
  countUnsettled(states: StateIndex, most: number): number {
    let count = 0;
    for (const { id, recipients } of this.messages.entries())
      if (!states.isSettled(id, recipients) && ++count > most) break;
    return count;
  }

  /** Names of the large bodies of settled messages. */
  settledLargeBodies(states: StateIndex): string[] {
    if (this.#large.size === 0) return [];
    const names: string[] = [];
    for (const { id, recipients } of this.messages.entries()) {
      const name = this.#large.get(id);
      if (name !== undefined && states.isSettled(id, recipients)) names.push(name);
    }
    return names;
  }

  /** The body of a settled message was removed before its record. */
  dropLargeBody(name: string): void {
    for (const [id, each] of this.#large) if (each === name) this.#large.delete(id);
  }

  largeBodies(): Iterable<string> {
    return this.#large.values();
  }
}
