/**
 * From the final dot to the reply, for a message that also goes to a remote server: the server's outcome first, then the
 * spool for what that leaves.
 */
import type { Outcome } from "../../../shared/smtp/diagnosis.ts";
import type { InlineEnd } from "../../../shared/smtp-client/transaction/inline-transaction.ts";
import type { Success } from "../../../shared/spool/recipient-state.ts";
import {
  type Acceptance,
  type Acceptor,
  refuseUnstored,
  rowsOf,
  storeMessage,
  waitUntilWritten,
} from "../message/accept.ts";
import type { DataReceiver } from "../message/data-receiver.ts";
import type { ReceivedMessage, TraceInfo } from "../message/record.ts";
import { replies } from "../message/session-replies.ts";
import { type AfterInline, afterInline, remainingMessage, type ToStore } from "./after-inline.ts";
import type { Inline } from "./inline.ts";
import type { InlineDelivery } from "./inline-delivery.ts";
import { refusalForClient, replyForClient } from "./remote-reply.ts";

/** A message whose data is complete, and that also goes to a remote server. */
export interface InlineMessage {
  message: ReceivedMessage;
  receiver: DataReceiver;
  inlineDelivery: InlineDelivery;
  /** Id, time and Received field as the remote server has got them. */
  trace: TraceInfo;
  /** The client has disconnected: it gets no reply. */
  isGone(): boolean;
}

export interface FinishInlineDeps {
  acceptor: Acceptor;
  inline: Inline;
}

export interface FinishedInline {
  acceptance: Acceptance;
  /** Absent: the remote transaction was abandoned. */
  end?: InlineEnd;
  /** All recipients have the message, and nothing is left to do. */
  isSettled: boolean;
}

/** Never rejects. The draft has ended, or been discarded, when it resolves. */
export async function finishInline(
  incoming: InlineMessage,
  { acceptor, inline }: FinishInlineDeps,
): Promise<FinishedInline> {
  const { message, receiver, inlineDelivery, trace, isGone } = incoming;
  const { envelope } = message;
  const { recipients, deferred } = inlineDelivery;
  if (recipients.length < envelope.recipients.length) {
    // The others need the storage. While that fails no recipient gets the message: each retry of the client would be a copy.
    try {
      await waitUntilWritten(receiver, acceptor.deadlineMs);
    } catch (error) {
      inlineDelivery.abandon();
      return { acceptance: refuseUnstored(error, message, acceptor, trace.id), isSettled: false };
    }
  }
  const end = await inlineDelivery.finish();
  const { outcome } = end;
  const next = afterInline(envelope, recipients, outcome, deferred, isGone());
  countRecipients(inline, inlineDelivery, outcome, next);
  switch (next.kind) {
    case "unheard":
      return { acceptance: { kind: "refused", reply: replies.unheard }, end, isSettled: false };
    case "refused": {
      const reply = refusalForClient(next.diagnosis);
      return { acceptance: { kind: "refused", reply }, end, isSettled: false };
    }
    case "delivered":
      receiver.abandon();
      return { acceptance: acceptDelivered(incoming, outcome), end, isSettled: true };
    case "stored": {
      const acceptance = await storeRemaining(next, incoming, outcome, { acceptor, inline });
      return { acceptance, end, isSettled: acceptance.kind === "accepted" && next.queued.length === 0 };
    }
  }
}

async function storeRemaining(
  next: ToStore,
  incoming: InlineMessage,
  outcome: Outcome,
  { acceptor, inline }: FinishInlineDeps,
): Promise<Acceptance> {
  const { message, receiver, inlineDelivery, trace } = incoming;
  const success = successOf(inlineDelivery, outcome);
  const remaining = remainingMessage(message, next, success, trace.atMs, inline.queue, Math.random());
  const acceptance = await storeMessage(receiver, remaining, acceptor, trace);
  const isReported = success !== undefined && next.reported.length > 0;
  if (isReported && acceptance.kind === "accepted" && acceptance.message !== undefined)
    inline.successReports.publish(acceptance.message);
  if (next.queued.length === 0) {
    // All recipients have the message. A missing report is no reason to have the client send it again.
    if (acceptance.kind === "refused")
      acceptor.log.error({ id: trace.id }, "delivered inline, but its success report cannot be stored");
    return acceptDelivered(incoming, outcome);
  }
  return acceptance.kind === "refused" ? acceptance : { ...acceptance, rows: rowsOf(message) };
}

/** The remote server's 250 is the client's. */
function acceptDelivered({ message, trace }: InlineMessage, outcome: Outcome): Acceptance {
  const reply = outcome.kind === "delivered" ? { reply: replyForClient(outcome.reply) } : {};
  return { kind: "accepted", id: trace.id, rows: rowsOf(message), ...reply };
}

/**
 * RFC 3461 §5.2: SUCCESS was asked for, and the remote server will not report it. A domain's own server is where the mail
 * was to go: delivered. Any other passes it on: relayed (RFC 3464 §2.3.3).
 */
function successOf({ route }: InlineDelivery, outcome: Outcome): Success | undefined {
  if (outcome.kind !== "delivered") return undefined;
  const { reply, remote } = outcome;
  return { kind: route.row === "to-protected" ? "delivered" : "relayed", reply, remote, atMs: Date.now() };
}

function countRecipients(
  { metrics }: Inline,
  { recipients, deferred }: InlineDelivery,
  outcome: Outcome,
  next: AfterInline,
): void {
  if (next.kind === "unheard") return;
  if (outcome.kind === "delivered") metrics.count("delivered", recipients.length);
  else metrics.count(next.kind === "refused" ? "rejected" : "queued", recipients.length);
  metrics.count("queued", deferred.size);
}
