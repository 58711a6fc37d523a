/** Why a second copy of a message was sent (pure): the fault between the first copy and the gateway's record of it. */
import type { Copy, FaultKind } from "../history/events.ts";
import type { Interval, Timeline } from "./timeline.ts";

/**
 * @param first  the copy before
 * @param second the copy that is one too many
 * @returns the cause in words; undefined when the history has none
 */
export function causeOfCopy(
  address: string,
  first: Copy,
  second: Copy,
  timeline: Timeline,
): string | undefined {
  if (!first.answered || heardNothing(address, first, second, timeline))
    return "a reply to the final dot was lost";
  const { sender } = first;
  const recordedAt = whenRecorded(address, first, timeline);
  const until = recordedAt ?? second.at;
  const during = (faults: readonly FaultKind[], target: (name: string) => boolean) =>
    timeline.faults.find(
      (interval) =>
        faults.includes(interval.fault) &&
        target(interval.target) &&
        overlaps(interval, first.beganAt, until),
    );
  const named = (interval: Interval): string => `${interval.fault} of ${kindOf(interval.target)}`;

  // What a process has recorded no other process delivers again, whatever happens to it.
  const ended = during(["kill", "stop"], (target) => target === sender);
  if (ended !== undefined) return named(ended);
  const redis = during(["kill", "stop", "flush", "old-dump"], (target) => target === "redis");
  if (redis !== undefined) return named(redis);
  // The second process had taken the message before the record, and went on without its lock.
  const late = timeline.faults.find(
    ({ fault, target, from, to }) =>
      fault === "stop" && target === second.sender && from <= until && to >= until && to <= second.at,
  );
  if (late !== undefined) return named(late);
  return forgottenBy(address, second, timeline);
}

/**
 * What only a damaged batch of a status log said is not known any more; nor, for as long as it takes to read it again, what
 * a log says that the disk could not read.
 */
export function forgottenBy(
  address: string,
  second: Pick<Copy, "at" | "beganAt">,
  timeline: Timeline,
): string | undefined {
  const { logged, forgotten, faults, scans } = timeline;
  if (logged.get(address)?.some(({ id }) => id !== undefined && forgotten.has(id)))
    return "a flipped bit in the spool";
  const unread = faults.find(({ fault, target, from, to }) => {
    if (fault !== "disk-error" || target !== "read" || from > second.at) return false;
    // The pause before it is read again doubles: it is at most as long as the failure was.
    const knownAt = to + (to - from) + 2_000;
    return second.beganAt <= knownAt || scans.some((at) => at >= from && at <= to + 2_000 && at <= second.at);
  });
  return unread === undefined ? undefined : "a status log that could not be read";
}

/** When the process said that it had recorded this copy; it says so after the record. */
function whenRecorded(address: string, copy: Copy, { logged }: Timeline): number | undefined {
  return logged
    .get(address)
    ?.find(
      ({ event, process, at }) => event === "delivery.delivered" && process === copy.sender && at >= copy.at,
    )?.at;
}

/** The gateway said so: the connection broke after the final dot, and it cannot know what the server did (RFC 1047). */
function heardNothing(address: string, first: Copy, second: Copy, { logged }: Timeline): boolean {
  return (
    logged
      .get(address)
      ?.some(
        ({ event, process, at }) =>
          event === "delivery.deferred" && process === first.sender && at >= first.at && at <= second.at,
      ) === true
  );
}

function overlaps({ from, to }: Interval, since: number, until: number): boolean {
  return from <= until && to >= since;
}

/** `delivery` for `delivery-2`. */
function kindOf(target: string): string {
  return target.replace(/-\d+$/, "");
}
