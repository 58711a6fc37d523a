/** Settlements made ready for one write, and for the index when they are written (pure). */

import type { Mark } from "../../logical-timestamp.ts";
import type { Settlement } from "../../spool.ts";
import { formatBatch, formatLine } from "./status-format.ts";

interface Entry {
  id: string;
  mark: Mark;
}

/** Octets, and what to put into the index when they are written. */
export interface SettleBatch {
  text: Buffer;
  entries: Entry[];
}

/** @param lines  the settlements' lines when they are at hand */
export function makeBatch(
  settlements: readonly Settlement[],
  stamp: number,
  lines: string = settlements.map(formatLine).join(""),
): SettleBatch {
  return { text: formatBatch(stamp, lines), entries: marked(settlements, stamp) };
}

/** Most of a batch is "delivered to the only recipient": these share one mark, as when they are read from a log. */
function marked(settlements: readonly Settlement[], stamp: number): Entry[] {
  const common: Mark = { recipients: [0], state: { kind: "delivered" }, stamp };
  return settlements.map(({ id, recipients, state }) => {
    const isCommon = state.kind === "delivered" && recipients.length === 1 && recipients[0] === 0;
    return { id, mark: isCommon ? common : { recipients: [...recipients], state, stamp } };
  });
}
