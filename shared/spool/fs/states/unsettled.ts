/** Finds all messages that are not settled, in the segments and among the moved ones. */
import type { RecipientState } from "../../recipient-state.ts";
import { locatorOf } from "../../records/parse-record.ts";
import type { DamagedRecord } from "../../records/window.ts";
import type { StoredMessage, UnsettledWalk } from "../../spool.ts";
import type { KnownStates } from "../../state-index.ts";
import { movedSegment } from "../disk/names.ts";
import { type MovedSummary, movedLocator, type StoredRecords } from "../segments/stored-records.ts";

/**
 * A record that was read longer ago than this counts only if its segment still exists: it may have been collected,
 * and its settlements forgotten with it. Far below `forgetAfterMs`.
 */
const recheckAfterMs = 10_000;

/** Oldest segment first, moved messages last: messages move in that direction only. */
export async function* walkUnsettled(
  records: StoredRecords,
  known: KnownStates,
  { onUnreadable, isWanted, after }: UnsettledWalk,
): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
  const walked = new Set<string>();
  const isAmongMoved = after?.locator.segment === movedSegment;
  for (const segment of isAmongMoved ? [] : await records.segmentNames()) {
    if (after !== undefined && segment < after.locator.segment) continue;
    const from = segment === after?.locator.segment ? after.locator.offset + after.locator.length : 0;
    let exists = false;
    const onDamagedRecord = (record: DamagedRecord): void => {
      const { id, header } = record;
      if (known.isSettled(id, header.recipients)) return;
      const locator = locatorOf(segment, record);
      onUnreadable?.({ id, locator, states: known.of(id), recipients: header.recipients });
    };
    for await (const group of records.inSegment(segment, { onDamagedRecord }, from)) {
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
  const moved = await records.movedIds();
  const ids = isAmongMoved ? moved.filter((id) => id > after.id) : moved;
  for (let start = 0; start < ids.length; start += movedAtOnce) {
    const some = ids.slice(start, start + movedAtOnce);
    for (const group of boundedGroups(await unsettledMoved(some, records, known, walked)))
      yield* walkMoved(group, records, known, isWanted);
  }
}

/** Groups that ask about a thousand jobs at most, unless one message has more. */
function boundedGroups(summaries: readonly MovedSummary[]): MovedSummary[][] {
  const groups: MovedSummary[][] = [];
  let jobs = Number.POSITIVE_INFINITY;
  for (const summary of summaries) {
    jobs += summary.parts.length;
    if (jobs > mostJobs) {
      groups.push([]);
      jobs = summary.parts.length;
    }
    groups.at(-1)?.push(summary);
  }
  return groups;
}

/** Moved messages that are looked at together, and files of theirs that are read at the same time. */
const movedAtOnce = 500;
const mostJobs = 1000;
const readsAtOnce = 32;

/** @param walked  segments whose records were all listed: messages that were moved out of them meanwhile are known */
async function unsettledMoved(
  ids: readonly string[],
  records: StoredRecords,
  known: KnownStates,
  walked: ReadonlySet<string>,
): Promise<MovedSummary[]> {
  const found: MovedSummary[] = [];
  for (let start = 0; start < ids.length; start += readsAtOnce) {
    // One that cannot be read is reported, and the others are listed all the same.
    const reads = ids
      .slice(start, start + readsAtOnce)
      .map((id) => records.summaryOfMoved(id).catch(() => undefined));
    for (const summary of await Promise.all(reads)) {
      if (summary === undefined || known.isSettled(summary.id, summary.recipients)) continue;
      if (summary.origin === undefined || !walked.has(summary.origin)) found.push(summary);
    }
  }
  return found;
}

async function* walkMoved(
  summaries: readonly MovedSummary[],
  records: StoredRecords,
  known: KnownStates,
  isWanted: UnsettledWalk["isWanted"],
): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
  const summarized = summaries.map(({ id, parts, ...rest }) => ({
    meta: { id, parts },
    locator: movedLocator({ id, parts, ...rest }),
    states: known.of(id),
  }));
  const wanted = summarized.length > 0 ? await isWanted?.(summarized) : undefined;
  for (const [index, { id, recipients }] of summaries.entries()) {
    if (wanted?.[index] === false || known.isSettled(id, recipients)) continue;
    const record = await records.moved(id).catch(() => undefined);
    const locator = summarized[index]?.locator;
    if (record === undefined || locator === undefined) continue;
    yield { meta: record.meta(), locator, states: known.of(id) };
  }
}
