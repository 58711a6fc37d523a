/** A recipient passed on to the far server while the client waits. */
import type { Recipient } from "../../../shared/mail/envelope.ts";
import type { Route } from "../../../shared/routing/route.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { type Inline, type InlineSender, mayGoInline, openLeg } from "../inline/inline.ts";
import type { InlineLeg } from "../inline/inline-delivery.ts";
import { refusalOf } from "../inline/remote-reply.ts";
import type { Transaction } from "./transaction.ts";

export type PassedOn =
  /** It stands in the transaction: the far server took it, or the queue will. */
  { kind: "taken" } | { kind: "refused"; reply: Reply };

/** @returns `undefined` for a recipient who does not go inline; else a promise that settles in bounded time, never rejecting */
export function passOn(
  inline: Inline,
  sender: () => InlineSender,
  transaction: Transaction,
  recipient: Recipient,
  route: Route,
): Promise<PassedOn> | undefined {
  if (!mayGoInline(inline, transaction, recipient, route)) return undefined;
  // The first who may go inline decides where to.
  transaction.leg ??= openLeg(inline, sender(), route);
  const { leg } = transaction;
  return leg.leadsTo(route) ? ask(inline, leg, transaction, recipient, route) : undefined;
}

async function ask(
  { metrics }: Inline,
  leg: InlineLeg,
  transaction: Transaction,
  recipient: Recipient,
  route: Route,
): Promise<PassedOn> {
  const answer = await leg.recipient(recipient);
  if (answer.kind === "rejected") {
    metrics.count("rejected", 1);
    return { kind: "refused", reply: refusalOf(answer.diagnosis) };
  }
  const index = transaction.recipientCount;
  if (answer.kind === "accepted") leg.recipients.push(index);
  else leg.deferred.set(index, answer.diagnosis);
  transaction.add(recipient, route);
  return { kind: "taken" };
}
