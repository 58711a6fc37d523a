/** What became of a recipient whose message got a 250, as far as the history shows it (pure). */
import type { Accepted, Recipient } from "../history/events.ts";
import type { Timeline } from "./timeline.ts";

export type Fate =
  | "delivered"
  /** Its sender has got a notification, or it is in a queue, or among the dead. */
  | "returned"
  | "returning"
  | "waiting"
  | "dead"
  /** By an operator. */
  | "removed"
  /** It failed, and its sender wanted to hear nothing: NOTIFY without FAILURE. */
  | "failed unreported"
  | "lost";

export function fateOf(recipient: Recipient, message: Accepted, timeline: Timeline): Fate {
  const { address } = recipient;
  if (timeline.copies.has(address)) return "delivered";
  if (timeline.reports.get(address)?.some(({ action }) => action === "failed")) return "returned";
  const left = timeline.left.get(address) ?? [];
  if (left.some(({ status }) => status !== "dead")) return "waiting";
  if (left.length > 0 || isDestroyed(address, timeline)) return "dead";
  if (hasNotificationLeft(message, timeline) || isDestroyed(message.from, timeline)) return "returning";
  if (timeline.removed.has(address)) return "removed";
  if (!wantsFailure(recipient, message) && hasFailed(address, timeline)) return "failed unreported";
  return "lost";
}

/** RFC 3461 §4.1; nobody can be notified at the null sender, whose failed mail is among the dead. */
function wantsFailure({ notify }: Recipient, { from }: Accepted): boolean {
  if (from === "") return true;
  return notify === undefined || notify.includes("FAILURE");
}

/** Its record was damaged, and stands among the dead: perhaps with no more than its queue id. */
function isDestroyed(address: string, { destroyed, deadUnknown }: Timeline): boolean {
  return destroyed.get(address)?.some((id) => deadUnknown.has(id)) === true;
}

function hasFailed(address: string, { serverRefused, logged, destroyed }: Timeline): boolean {
  return (
    destroyed.has(address) ||
    serverRefused.has(address) ||
    logged.get(address)?.some(({ event }) => event === "delivery.rejected") === true
  );
}

/** A notification for the sender that waits, or could not be delivered; which recipients it is about stands in it. */
function hasNotificationLeft({ from }: Accepted, { left, serverRefused }: Timeline): boolean {
  if (from === "") return false;
  return left.get(from) !== undefined || serverRefused.has(from);
}

/**
 * Whether a report of success is missing: it was wanted, the message was delivered, and no server took over the
 * report (RFC 3461 §5.2.2).
 */
export function lacksSuccessReport(recipient: Recipient, message: Accepted, timeline: Timeline): boolean {
  const { address, notify } = recipient;
  if (message.from === "" || message.door === "proxied" || notify?.includes("SUCCESS") !== true) return false;
  const copies = timeline.copies.get(address) ?? [];
  if (copies.length === 0 || copies.some((copy) => copy.reportedByServer.includes(address))) return false;
  // The gateway does not know of a copy whose reply was lost: it may report a failure.
  const reports = timeline.reports.get(address) ?? [];
  if (reports.some(({ action }) => action !== "delayed")) return false;
  if (copies.every((copy) => !copy.answered)) return false;
  if (timeline.left.has(address) || hasNotificationLeft(message, timeline)) return false;
  return !timeline.removed.has(address);
}
