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
  const during = (faults: readonly FaultKind[], target: (name: string) => boolean, to = until) =>
    timeline.faults.find(
      (interval) =>
        faults.includes(interval.fault) && target(interval.target) && overlaps(interval, first.beganAt, to),
    );
  const named = (interval: Interval): string => `${interval.fault} of ${kindOf(interval.target)}`;

  // What a process has recorded no other process delivers again, whatever happens to it.
  const ended = during(["kill", "stop"], (target) => target === sender);
  if (ended !== undefined) return named(ended);
  const redis = during(["kill", "stop", "flush", "old-dump"], (target) => target === "redis");
  if (redis !== undefined) return named(redis);
  // Both processes were at work: the second one was slow to see the record, or went on without its lock.
  const late = during(["stop"], (target) => target === second.sender, second.at);
  if (late !== undefined) return named(late);
  return damageBefore(second.at, timeline);
}

/** What only a damaged status log said, or one that could not be read, is not known any more. */
export function damageBefore(at: number, { faults }: Timeline): string | undefined {
  const damage = faults.find(
    ({ fault, target, from }) =>
      from <= at &&
      ((fault === "flipped-byte" && /^(settled|segments)\//.test(target)) ||
        (fault === "disk-error" && target === "read")),
  );
  if (damage === undefined) return undefined;
  return damage.fault === "flipped-byte"
    ? "a flipped bit in the spool"
    : "a status log that could not be read";
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
