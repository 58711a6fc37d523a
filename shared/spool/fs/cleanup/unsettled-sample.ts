/**
 * Some of the messages of a segment that were not settled when it was read. By them the collector knows when it is worth
 * reading the segment again: what is settled stays settled. Pure.
 */
import { IdList } from "../../records/id-list.ts";
import type { StateIndex } from "../../state-index.ts";

/** Of up to so many unsettled messages all are kept; of more, as many at least as half of it, at equal distances. */
export const mostSampled = 64;

type States = Pick<StateIndex, "isSettled">;

export class UnsettledSample {
  #kept = new IdList();
  /** Each message that is kept stands for so many. */
  #stride = 1;
  #counted = 0;

  /** A message that is not settled; to be called with all of them, in the order of the segment. */
  add(id: string, recipients: number): void {
    if (this.#counted++ % this.#stride !== 0) return;
    if (this.#kept.length >= mostSampled) {
      this.#stride *= 2;
      this.#keep((n) => n % 2 === 0);
      if ((this.#counted - 1) % this.#stride !== 0) return;
    }
    this.#kept.add(id, recipients);
  }

  /** Whether all unsettled messages are kept, so that estimate() is their number. */
  get isWhole(): boolean {
    return this.#stride === 1;
  }

  /** How many unsettled messages there were when the segment was read. */
  get counted(): number {
    return this.#counted;
  }

  /** Octets that it takes. */
  get bytes(): number {
    return this.#kept.bytes;
  }

  /** How many messages are not settled by now, about. Zero does not mean that all are settled, unless it is whole. */
  estimate(states: States): number {
    const settled = new Set<number>();
    let position = 0;
    for (const { id, recipients } of this.#kept.entries()) {
      if (states.isSettled(id, recipients)) settled.add(position);
      position++;
    }
    if (settled.size > 0) this.#keep((n) => !settled.has(n));
    return Math.min(this.#kept.length * this.#stride, this.#counted);
  }

  /** Whether a message that is kept is not settled. */
  hasUnsettled(states: States): boolean {
    for (const { id, recipients } of this.#kept.entries()) if (!states.isSettled(id, recipients)) return true;
    return false;
  }

  /** Gives back memory that is not used; more may be added all the same. */
  trim(): void {
    this.#kept.trim();
  }

  #keep(isKept: (position: number) => boolean): void {
    const kept = new IdList();
    let position = 0;
    for (const { id, recipients } of this.#kept.entries()) if (isKept(position++)) kept.add(id, recipients);
    kept.trim();
    this.#kept = kept;
  }
}
