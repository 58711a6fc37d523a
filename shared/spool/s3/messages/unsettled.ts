/** Lists every message with an unsettled recipient. */
import type { RecipientState } from "../../recipient-state.ts";
import { locatorOf } from "../../records/parse-record.ts";
import type { StoredMessage, UnsettledWalk } from "../../spool.ts";
import type { StateIndex } from "../../state-index.ts";
import { storeError } from "../store/failures.ts";
import type { MessageIndex } from "./message-index.ts";

/**
 * The states of a message are read when the caller asks for it; objects in which everything is settled are not read again.
 * @throws SpoolUnavailable when the objects cannot be listed; one that cannot be read is reported and passed by
 */
export async function* walkUnsettled(
  index: MessageIndex,
  states: StateIndex,
  onUnreadableObject: (key: string, error: unknown) => void,
  { onUnreadable }: UnsettledWalk,
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
        const { id, header, extra } = record;
        if (states.isSettled(id, header.recipients)) continue;
        if (extra.origin !== undefined && walked.has(extra.origin.segment)) continue;
        yield { meta: record.meta(), locator: locatorOf(key, record), states: states.states(id) };
      }
      walked.add(key);
    }
    // An object has gone since it was listed: what was unsettled in it was compacted meanwhile.
    if (isMissing) await index.refreshCompacted();
  }
}
