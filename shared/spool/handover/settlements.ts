/** The settlements that record the states of a message's recipients anew, and those that end the message (pure). */
import { isSettled, type RecipientState } from "../recipient-state.ts";
import type { Settlement } from "../spool.ts";
import type { HandedMessage } from "./ends.ts";

/** A reroute is an entry of its own. */
export function settlementsOf(id: string, states: Iterable<readonly [number, RecipientState]>): Settlement[] {
  return [...states].flatMap(([recipient, state]): Settlement[] => {
    const recipients = [recipient];
    if (state.kind !== "pending") return [{ id, recipients, state }];
    const { via, ...rest } = state;
    const settlements: Settlement[] = [{ id, recipients, state: rest }];
    if (via !== undefined) settlements.push({ id, recipients, state: { kind: "pending", via } });
    return settlements;
  });
}

/** All recipients of a message that was handed over are settled where it was. */
export function removalOf({ id, recipients, states }: HandedMessage): Settlement[] {
  const known = new Map(states);
  const left = Array.from({ length: recipients }, (_, index) => index).filter((index) => {
    const state = known.get(index);
    return state === undefined || !isSettled(state);
  });
  return left.length === 0 ? [] : [{ id, recipients: left, state: { kind: "removed" } }];
}
