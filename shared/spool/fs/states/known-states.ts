/** The states of recipients as far as they are known: what is recorded, and what records claim (pure). */

import { isSettled, type RecipientState } from "../../spool.ts";
import { mergedStates, type SettleIndex } from "../../state-index.ts";

export class KnownStates {
  readonly #index: SettleIndex;
  readonly #impliedSettlements: SettleIndex;

  /** @param claims  see settling-segments.ts */
  constructor(index: SettleIndex, impliedSettlements: SettleIndex) {
    this.#index = index;
    this.#impliedSettlements = impliedSettlements;
  }

  /** By index; absent recipients are pending. */
  of(id: string): ReadonlyMap<number, RecipientState> {
    if (!this.#impliedSettlements.has(id)) return this.#index.states(id);
    return mergedStates([...this.#index.entriesOf(id), ...this.#impliedSettlements.entriesOf(id)]);
  }

  isSettled(id: string, recipients: number): boolean {
    if (!this.#impliedSettlements.has(id)) return this.#index.isSettled(id, recipients);
    const states = this.of(id);
    for (let recipient = 0; recipient < recipients; recipient++) {
      const state = states.get(recipient);
      if (state === undefined || !isSettled(state)) return false;
    }
    return true;
  }
}
