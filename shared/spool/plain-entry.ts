/** The status entries that most messages have, in a few octets (pure): one state of all recipients, or of the first ones. */
import type { RecipientState, StatusEntry } from "./recipient-state.ts";

/** By their code. */
const states: readonly (RecipientState | undefined)[] = [
  undefined,
  { kind: "pending" },
  { kind: "pending", warned: true },
  { kind: "delivered" },
  { kind: "bounced" },
  { kind: "removed" },
];

/** More recipients than that are in an entry of its own. */
const mostRecipients = 255;

/** The code of an entry's state; zero when it is not plain. */
export function plainCode({ recipients, state }: StatusEntry): number {
  if (recipients.length > mostRecipients) return 0;
  for (let i = 0; i < recipients.length; i++) if (recipients[i] !== i) return 0;
  switch (state.kind) {
    case "pending":
      if (state.delay !== undefined || state.via !== undefined) return 0;
      return state.warned === true ? 2 : 1;
    case "delivered":
      return state.success === undefined ? 3 : 0;
    case "bounced":
      return 4;
    case "removed":
      return 5;
    default:
      return 0;
  }
}

/** Whether a plain entry settles its recipients. */
export function isSettledCode(code: number): boolean {
  return code >= 3;
}

/** @param code  of plainCode(), not zero */
export function plainEntry(code: number, recipients: number, timestamp: number): StatusEntry {
  const state = states[code];
  if (state === undefined) throw new RangeError(`${code} is no state`);
  return { recipients: firstRecipients(recipients), state, timestamp };
}

/** Shared, since entries are never changed. */
const lists: (readonly number[] | undefined)[] = [];

function firstRecipients(count: number): readonly number[] {
  lists[count] ??= Array.from({ length: count }, (_, n) => n);
  return lists[count];
}
