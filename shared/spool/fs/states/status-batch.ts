/** Settlements made ready for one write, and for the index when they are written (pure). */

import type { StatusEntry } from "../../recipient-state.ts";
import type { Settlement } from "../../spool.ts";
import { formatBatch, formatLine } from "./status-format.ts";

interface Entry {
  id: string;
  entry: StatusEntry;
}

/** Octets, and what to put into the index when they are written. */
export interface SettleBatch {
  text: Buffer;
  entries: Entry[];
}

/** @param lines  the settlements' lines when they are at hand */
export function makeBatch(
  settlements: readonly Settlement[],
  timestamp: number,
  lines: string = settlements.map(formatLine).join(""),
): SettleBatch {
  return { text: formatBatch(timestamp, lines), entries: marked(settlements, timestamp) };
}

/** Most of a batch is "delivered to the only recipient": these share one mark, as when they are read from a log. */
function marked(settlements: readonly Settlement[], timestamp: number): Entry[] {
  const common: StatusEntry = { recipients: [0], state: { kind: "delivered" }, timestamp };
  return settlements.map(({ id, recipients, state }) => {
    const isCommon = state.kind === "delivered" && recipients.length === 1 && recipients[0] === 0;
    return { id, entry: isCommon ? common : { recipients: [...recipients], state, timestamp } };
  });
}
