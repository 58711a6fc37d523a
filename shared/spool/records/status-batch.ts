/** Settlements are gathered in memory and become batches: the text of one write, and the entries for the index (pure). */
import type { LogicalClock, StatusEntry } from "../recipient-state.ts";
import type { Settlement } from "../spool.ts";
import { formatBatch, formatLine, type IndexedEntry } from "./status-format.ts";

export interface StatusBatch {
  text: Buffer;
  /** For the index, once the text is written. */
  entries: IndexedEntry[];
}

/** Settlements that wait for the next write. */
export class WaitingSettlements {
  #settlements: Settlement[] = [];
  #lines = "";
  /** Those that have a timestamp already. */
  #batches: StatusBatch[] = [];

  /** For the batch that takeBatches() makes. */
  add(settlements: readonly Settlement[]): void {
    for (const settlement of settlements) {
      this.#lines += formatLine(settlement);
      this.#settlements.push(settlement);
    }
  }

  /** With the timestamp of the record or log that contains them already. */
  addRecorded(settlements: readonly Settlement[], timestamp: number): void {
    this.#batches.push(makeBatch(settlements, timestamp, settlements.map(formatLine).join("")));
  }

  /** All that wait. The timestamp is made now, so that timestamps rise within a log. */
  takeBatches(clock: LogicalClock): StatusBatch[] {
    const batches = this.#batches;
    this.#batches = [];
    if (this.#settlements.length > 0) {
      batches.push(makeBatch(this.#settlements, clock.next(), this.#lines));
      this.#settlements = [];
      this.#lines = "";
    }
    return batches;
  }
}

function makeBatch(settlements: readonly Settlement[], timestamp: number, lines: string): StatusBatch {
  // Most of a batch is "delivered to the only recipient": these share one entry, as when they are read from a log.
  const common: StatusEntry = { recipients: [0], state: { kind: "delivered" }, timestamp };
  const entries = settlements.map(({ id, recipients, state }): IndexedEntry => {
    const isPlain = state.kind === "delivered" && state.success === undefined;
    const isCommon = isPlain && recipients.length === 1 && recipients[0] === 0;
    return { id, entry: isCommon ? common : { recipients: [...recipients], state, timestamp } };
  });
  return { text: formatBatch(timestamp, lines), entries };
}
