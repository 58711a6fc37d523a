/** Copies and notifications that are one too many, each with its cause (pure). */
import type { Copy, Refused, Report } from "../history/events.ts";
import { causeOfCopy, forgottenBy } from "./causes.ts";
import type { Timeline } from "./timeline.ts";

export interface Duplicate {
  address: string;
  what: "copy" | "notification" | "copy of refused mail";
  at: number;
  /** Undefined: nothing in the history explains it. */
  cause: string | undefined;
}

export function duplicatesOf(timeline: Timeline): Duplicate[] {
  return [...extraCopies(timeline), ...extraReports(timeline), ...copiesOfRefused(timeline)];
}

function extraCopies(timeline: Timeline): Duplicate[] {
  const found: Duplicate[] = [];
  for (const [address, copies] of timeline.copies) {
    // Copies of notifications have their sender's address in common; extraReports() has those.
    if (copies.some(({ from }) => from === "") && new Set(copies.map(({ messageId }) => messageId)).size > 1)
      continue;
    for (let i = 1; i < copies.length; i++) {
      const [first, second] = [copies[i - 1], copies[i]];
      if (first === undefined || second === undefined) continue;
      const cause = causeOfCopy(address, first, second, timeline);
      found.push({ address, what: "copy", at: second.at, cause });
    }
  }
  return found;
}

/** Two notifications that say the same of one recipient. */
function extraReports(timeline: Timeline): Duplicate[] {
  const found: Duplicate[] = [];
  for (const [address, reports] of timeline.reports) {
    const byAction = Map.groupBy(reports, ({ action }) => action);
    for (const same of byAction.values()) {
      for (let i = 1; i < same.length; i++) {
        const [first, second] = [same[i - 1]?.report, same[i]?.report];
        if (first === undefined || second === undefined) continue;
        found.push({
          address,
          what: "notification",
          at: second.at,
          cause: causeOfReport(address, first, second, timeline),
        });
      }
    }
  }
  return found;
}

function causeOfReport(
  address: string,
  first: Report,
  second: Report,
  timeline: Timeline,
): string | undefined {
  if (first.messageId === second.messageId) {
    const copies = (timeline.copies.get(first.to) ?? []).filter(
      ({ messageId }) => messageId === first.messageId,
    );
    const index = copies.findIndex(({ at }) => at >= second.at - sameMomentMs);
    const [before, after] = [copies[index - 1] ?? copies[0], copies[index] ?? copies.at(-1)];
    if (before === undefined || after === undefined) return undefined;
    return causeOfCopy(first.to, before, after, timeline);
  }
  // The process that made the second one was stopped while another made and delivered the first.
  const bounce = timeline.faults.find(
    ({ fault, target, from, to }) =>
      fault === "stop" && target.startsWith("bounce") && from <= first.at && to <= second.at,
  );
  if (bounce !== undefined) return "stop of bounce";
  return forgottenBy(address, { at: second.at, beganAt: second.at }, timeline);
}

/** A copy and its report are recorded one after the other. */
const sameMomentMs = 50;

/** The client heard 4xx or 5xx, and sends the message again or returns it. */
function copiesOfRefused(timeline: Timeline): Duplicate[] {
  const found: Duplicate[] = [];
  for (const [address, sent] of timeline.notAccepted) {
    if (sent.kind !== "refused") continue;
    for (const copy of timeline.copies.get(address) ?? [])
      found.push({
        address,
        what: "copy of refused mail",
        at: copy.at,
        cause: causeOfRefused(copy, sent, timeline),
      });
  }
  return found;
}

/**
 * Of a message that went to one server inline and to others by the queue, the disk failed between the server's 250 and the
 * record for the others: the client has to send it again.
 */
function causeOfRefused(copy: Copy, sent: Refused, { faults }: Timeline): string | undefined {
  if (!copy.answered) return "a reply to the final dot was lost";
  const disk = faults.find(
    ({ fault, from, to }) =>
      (fault === "disk-error" || fault === "disk-full") && from <= sent.at && to >= copy.beganAt,
  );
  return disk === undefined ? undefined : `${disk.fault} after the server's 250`;
}
