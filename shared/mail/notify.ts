/** Who wants which report about a recipient: NOTIFY (RFC 3461 §4.1), and which senders a report can reach. Pure. */
import { parsePath } from "./address.ts";
import type { Envelope, NotifyEvent } from "./envelope.ts";

/** @returns `[]` for NEVER; `undefined` when the value is wrong */
export function parseNotify(value: string): NotifyEvent[] | undefined {
  const words = value.toUpperCase().split(",");
  if (words.length === 1 && words[0] === "NEVER") return [];
  const events: NotifyEvent[] = [];
  for (const word of words) {
    if (word !== "SUCCESS" && word !== "FAILURE" && word !== "DELAY") return undefined;
    if (!events.includes(word)) events.push(word);
  }
  return events;
}

export function formatNotify(events: readonly NotifyEvent[]): string {
  return events.length === 0 ? "NEVER" : events.join(",");
}

/**
 * Whether the sender gets this report about a recipient. Without NOTIFY, failures and delays are reported, successes
 * are not. RFC 5321 §4.5.5: nothing is ever reported to the null sender.
 * @param recipient  index into the envelope
 */
export function wantsReport(
  { reversePath, recipients }: Pick<Envelope, "reversePath" | "recipients">,
  recipient: number,
  event: NotifyEvent,
): boolean {
  if (reversePath === "") return false;
  const notify = recipients[recipient]?.notify;
  return notify === undefined ? event !== "SUCCESS" : notify.includes(event);
}

/**
 * Whether a failure is never reported to the sender, and kept for the operators: nothing is returned to the null sender
 * (RFC 5321 §4.5.5), and nothing about the gateway's own postmaster, to whom anybody may write with a forged sender.
 * @param recipient  index into the envelope
 */
export function isForOperators(
  { reversePath, recipients }: Pick<Envelope, "reversePath" | "recipients">,
  recipient: number,
): boolean {
  return reversePath === "" || recipients[recipient]?.isPostmaster === true;
}

/** RFC 5321 §4.5.5: nothing is returned to `<>`; and without a domain there is nowhere to return it to. */
export function isReturnable(reversePath: string): boolean {
  const parsed = parsePath(`<${reversePath}>`, 0);
  return parsed.kind === "mailbox" && parsed.end === reversePath.length + 2;
}
