/** A recipient passed on to the far server while the client waits. */
import type { Recipient } from "../../../shared/mail/envelope.ts";
import type { Route } from "../../../shared/routing/route.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { type Inline, type InlineSender, mayGoInline, openInlineDelivery } from "../inline/inline.ts";
import type { InlineDelivery } from "../inline/inline-delivery.ts";
import { refusalForClient } from "../inline/remote-reply.ts";
import type { ClientTransaction } from "./client-transaction.ts";

export type PassedOn =
  /** It stands in the transaction: the far server took it, or the queue will. */
  { kind: "taken" } | { kind: "refused"; reply: Reply };

/** @returns `undefined` for a recipient who does not go inline; else a promise that settles in bounded time, never rejecting */
export function passOn(
  inline: Inline,
  sender: () => InlineSender,
  transaction: ClientTransaction,
  recipient: Recipient,
  route: Route,
): Promise<PassedOn> | undefined {
  if (!mayGoInline(inline, transaction, recipient, route)) return undefined;
  // The first who may go inline decides where to.
  transaction.inlineDelivery ??= openInlineDelivery(inline, sender(), route);
  const { inlineDelivery } = transaction;
  return inlineDelivery.leadsTo(route)
    ? ask(inline, inlineDelivery, transaction, recipient, route)
    : undefined;
}

async function ask(
  { metrics }: Inline,
  inlineDelivery: InlineDelivery,
  transaction: ClientTransaction,
  recipient: Recipient,
  route: Route,
): Promise<PassedOn> {
  const answer = await inlineDelivery.recipient(recipient);
  if (answer.kind === "rejected") {
    metrics.count("rejected", 1);
    return { kind: "refused", reply: refusalForClient(answer.diagnosis) };
  }
  const index = transaction.recipientCount;
  if (answer.kind === "accepted") inlineDelivery.recipients.push(index);
  else inlineDelivery.deferred.set(index, answer.diagnosis);
  transaction.add(recipient, route);
  return { kind: "taken" };
}
