/** Finds all messages that are not settled, in the segments and among the moved ones. */
import type { RecipientState } from "../../recipient-state.ts";
import type { StoredMessage, UnsettledWalk } from "../../spool.ts";
import type { KnownStates } from "../../state-index.ts";
import type { DamagedRecord } from "../segments/scan.ts";
import { locatorOf, movedLocator, type StoredRecords } from "../segments/stored-records.ts";

/**
 * A record that was read longer ago than this counts only if its segment still exists: it may have been collected,
 * and its settlements forgotten with it. Far below `forgetAfterMs`.
 */
const recheckAfterMs = 10_000;

/** Oldest segment first, moved messages last: messages move in that direction only. */
export async function* walkUnsettled(
  records: StoredRecords,
  known: KnownStates,
  { onUnreadable }: UnsettledWalk,
): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
  const walked = new Set<string>();
  for (const segment of await records.segmentNames()) {
    let exists = false;
    const onDamagedRecord = (record: DamagedRecord): void => {
      const { id, header } = record;
      if (known.isSettled(id, header.recipients)) return;
      const locator = locatorOf(segment, record);
      onUnreadable?.({ id, locator, states: known.of(id), recipients: header.recipients });
    };
    for await (const group of records.inSegment(segment, { onDamagedRecord })) {
      let checkedAtMs = Number.NEGATIVE_INFINITY;
      for (const record of group) {
        if (performance.now() - checkedAtMs > recheckAfterMs) {
          checkedAtMs = performance.now();
          exists = await records.segmentExists(segment);
          // Its unsettled messages were moved.
          if (!exists) break;
        }
        if (known.isSettled(record.id, record.header.recipients)) continue;
        yield { meta: record.meta(), locator: locatorOf(segment, record), states: known.of(record.id) };
      }
      if (!exists) break;
    }
    if (exists) walked.add(segment);
  }
  for (const id of await records.movedIds()) {
    // One that cannot be read is reported, and the others are listed all the same.
    const record = await records.moved(id).catch(() => undefined);
    if (record === undefined) continue;
    const { origin } = record.extra;
    if (origin !== undefined && walked.has(origin.segment)) continue;
    if (known.isSettled(id, record.header.recipients)) continue;
    yield { meta: record.meta(), locator: movedLocator(record), states: known.of(id) };
  }
}
