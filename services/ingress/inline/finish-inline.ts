/** From the final dot to the reply, for a message that also went to a far server: its word first, then the spool. */
import type { TriedInline } from "../../../shared/mail/message.ts";
import { groupEqual } from "../../../shared/queue/contract/retry-schedule.ts";
import type { SuccessReport } from "../../../shared/queue/success-reports.ts";
import type { Outcome } from "../../../shared/smtp/diagnosis.ts";
import type { InlineEnd } from "../../../shared/smtp-client/transaction/inline-transaction.ts";
import type { StoredMessage } from "../../../shared/spool/spool.ts";
import type { Acceptor, ReceivedMessage, TraceInfo } from "../message/accept.ts";
import type { DataReceiver } from "../message/data-receiver.ts";
import { replies } from "../message/session-replies.ts";
import { notStored, type Stored, storeMessage, waitUntilWritten } from "../message/store.ts";
import { type AfterInline, afterInline, nextAttemptAtMs } from "./after-inline.ts";
import type { Inline } from "./inline.ts";
import type { InlineDelivery } from "./inline-delivery.ts";
import { refusalForClient, replyForClient } from "./remote-reply.ts";

export interface InlineMessage {
  inlineDelivery: InlineDelivery;
  /** Id, time and Received field as the far server has got them. */
  trace: TraceInfo;
  /** The client is gone: it hears no reply. */
  isGone(): boolean;
}

export interface FinishedInline {
  stored: Stored;
  /** Absent: nothing came to its end at the far server. */
  end?: InlineEnd;
  /** Everybody has the message, and nothing is left to do. */
  isSettled: boolean;
}

/** Never rejects. The draft has ended, or been given up, when it resolves. */
export async function finishInline(
  { inlineDelivery, trace, isGone }: InlineMessage,
  receiver: DataReceiver,
  message: ReceivedMessage,
  acceptor: Acceptor,
  inline: Inline,
): Promise<FinishedInline> {
  if (inlineDelivery.recipients.length < message.envelope.recipients.length) {
    // The others need the storage. Without it nobody gets the message: each repetition of the client would be a copy.
    try {
      await waitUntilWritten(receiver, acceptor.deadlineMs);
    } catch (error) {
      inlineDelivery.abandon();
      return { stored: notStored(error, message, acceptor, trace.id), isSettled: false };
    }
  }
  const end = await inlineDelivery.finish();
  const { outcome } = end;
  const next = afterInline(message.envelope, inlineDelivery.recipients, outcome, inlineDelivery.deferred);
  // RFC 5321 §4.2.5: who has not heard the reply keeps the message and sends it again, and nobody has this copy.
  if (next.kind === "stored" && outcome.kind !== "delivered" && isGone()) {
    return { stored: { kind: "refused", reply: replies.unheard }, end, isSettled: false };
  }
  count(inline, inlineDelivery, outcome, next);
  switch (next.kind) {
    case "refused":
      return { stored: { kind: "refused", reply: refusalForClient(next.diagnosis) }, end, isSettled: false };
    case "delivered":
      receiver.abandon();
      return { stored: accepted(trace, message, outcome), end, isSettled: true };
    case "stored": {
      const kept = keep(message, next, triedOf(next, message, trace, inline));
      const stored = await storeMessage(receiver, kept, acceptor, trace);
      if (stored.kind === "accepted" && stored.message !== undefined) {
        report(stored.message, next, inlineDelivery, outcome, inline);
      }
      // Everybody has it. That the report cannot be made is no reason to have the client send it all again.
      if (stored.kind === "refused" && next.queued.length === 0) {
        acceptor.log.error(
          { id: trace.id },
          "delivered inline, but the success report that is owed cannot be stored",
        );
        return { stored: accepted(trace, message, outcome), end, isSettled: true };
      }
      const rows = rowsOf(message);
      if (stored.kind === "refused") return { stored, end, isSettled: false };
      const isSettled = next.queued.length === 0;
      return { stored: isSettled ? accepted(trace, message, outcome) : { ...stored, rows }, end, isSettled };
    }
  }
}

/** The far 250 is the client's 250. */
function accepted({ id }: TraceInfo, message: ReceivedMessage, outcome: Outcome): Stored {
  const rows = rowsOf(message);
  return outcome.kind === "delivered"
    ? { kind: "accepted", id, rows, reply: replyForClient(outcome.reply) }
    : { kind: "accepted", id, rows };
}

function rowsOf({ routes }: ReceivedMessage): string[] {
  return [...new Set(routes.map(({ row }) => row))];
}

/** Only who still needs it is in the record, so that nobody who has it can ever be tried again. */
function keep(
  message: ReceivedMessage,
  { queued, reported }: AfterInline & { kind: "stored" },
  tried: TriedInline | undefined,
): ReceivedMessage {
  const { envelope, routes } = message;
  const pick = <T>(list: readonly T[], indexes: number[]): T[] =>
    indexes.flatMap((index) => list[index] ?? []);
  return {
    ...message,
    // Who is only reported comes last, has no route, and is in no part: there is nothing to deliver.
    envelope: { ...envelope, recipients: pick(envelope.recipients, [...queued, ...reported]) },
    routes: pick(routes, queued),
    delivered: reported.map((_, position) => queued.length + position),
    ...(tried === undefined ? {} : { tried }),
  };
}

/** By position in the record. */
function triedOf(
  { queued, tried }: AfterInline & { kind: "stored" },
  { envelope }: ReceivedMessage,
  { atMs: receivedAtMs }: TraceInfo,
  { queue }: Inline,
): TriedInline | undefined {
  if (tried.size === 0) return undefined;
  const atMs = Math.max(...[...tried.values()].map((diagnosis) => diagnosis.atMs));
  return {
    untilMs: nextAttemptAtMs(
      atMs,
      { receivedAtMs, nullSender: envelope.reversePath === "" },
      queue,
      Math.random(),
    ),
    last: groupEqual([...tried].map(([index, diagnosis]) => [queued.indexOf(index), diagnosis] as const)),
  };
}

/**
 * RFC 3461 §5.2: SUCCESS was asked for, and the far server will not report it. A domain's own server is where the mail
 * was to go: delivered. Any other passes it on: relayed (RFC 3464 §2.3.3).
 */
function report(
  { meta, locator }: StoredMessage,
  { queued, reported }: AfterInline & { kind: "stored" },
  { route }: InlineDelivery,
  outcome: Outcome,
  { successReports }: Inline,
): void {
  if (outcome.kind !== "delivered" || reported.length === 0) return;
  const { reply, remote } = outcome;
  const successReport: SuccessReport = {
    version: 1,
    kind: route.row === "to-protected" ? "delivered" : "relayed",
    id: meta.id,
    locator,
    recipients: reported.map((_, position) => ({
      recipient: queued.length + position,
      reply,
      remote,
      atMs: Date.now(),
    })),
  };
  successReports.publish(successReport);
}

function count(
  { metrics }: Inline,
  inlineDelivery: InlineDelivery,
  outcome: Outcome,
  next: AfterInline,
): void {
  if (outcome.kind === "delivered") metrics.count("delivered", inlineDelivery.recipients.length);
  else metrics.count(next.kind === "refused" ? "rejected" : "queued", inlineDelivery.recipients.length);
  metrics.count("queued", inlineDelivery.deferred.size);
}
