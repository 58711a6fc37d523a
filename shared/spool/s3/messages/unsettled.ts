/** Lists every message with an unsettled recipient. */
import type { RecipientState } from "../../recipient-state.ts";
import { locatorOf } from "../../records/parse-record.ts";
import type { StoredMessage, UnsettledWalk, WalkPlace } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import { storeError } from "../store/failures.ts";
import { compactedPlace } from "../store/names.ts";
import type { MessageIndex } from "./message-index.ts";

/**
 * The states of a message are read when the caller asks for it; objects in which everything is settled are not read again.
 * @throws SpoolUnavailable when the objects cannot be listed; one that cannot be read is reported and passed by
 */
export async function* walkUnsettled(
  index: MessageIndex,
  states: StateIndex,
  onUnreadableObject: (key: string, error: unknown) => void,
  { onUnreadable, after }: UnsettledWalk,
): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
  await index.refresh();
  const visited = new Set<string>();
  /** Objects whose records were all listed: what was compacted out of them is known. */
  const walked = new Set<string>();
  for (let isMissing = true; isMissing; ) {
    isMissing = false;
    for (const { key, contents } of index.segments()) {
      if (visited.has(key)) continue;
      visited.add(key);
      if (isBefore(key, after)) continue;
      if (contents.countUnsettled(states, 0) === 0) {
        walked.add(key);
        continue;
      }
      const segment = await index.read(key).catch((error: unknown) => {
        onUnreadableObject(key, storeError(error, "an object of the spool could not be read"));
        return "unreadable" as const;
      });
      if (segment === "unreadable") continue;
      if (segment === undefined) {
        isMissing = true;
        continue;
      }
      for (const record of segment.damagedRecords) {
        const { id, header } = record;
        if (states.isSettled(id, header.recipients)) continue;
        const locator = locatorOf(key, record);
        onUnreadable?.({ id, locator, states: states.states(id), recipients: header.recipients });
      }
      for (const record of segment.records) {
        const { id, header, extra, offset } = record;
        if (states.isSettled(id, header.recipients)) continue;
        if (key === after?.locator.segment && offset <= after.locator.offset) continue;
        if (extra.origin !== undefined && walked.has(extra.origin.segment)) continue;
        yield { meta: record.meta(), locator: locatorOf(key, record), states: states.states(id) };
      }
      walked.add(key);
    }
    // An object has gone since it was listed: what was unsettled in it was compacted meanwhile.
    if (isMissing) await index.refreshCompacted();
  }
}

/** Compacted objects come last, and in no order that lasts: they are compacted again. */
function isBefore(key: string, after: WalkPlace | undefined): boolean {
  if (after === undefined || key.startsWith(compactedPlace)) return false;
  return !after.locator.segment.startsWith(compactedPlace) && key < after.locator.segment;
}
