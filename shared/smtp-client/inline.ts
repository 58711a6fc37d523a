/** Inline delivery: a transaction with the remote server while the client is connected, in the same kind of attempt as deliveries. */
import { inlineClass } from "../limits/priority-class.ts";
import type { Envelope } from "../mail/envelope.ts";
import type { MessageMeta, Origin } from "../mail/message.ts";
import { identifyNextHop, type NextHop } from "../routing/next-hop.ts";
import { deferred } from "../smtp/diagnose.ts";
import type { Outcome } from "../smtp/diagnosis.ts";

import { stopped } from "./session/disconnect-reason.ts";
import { isHidden } from "./session-terms.ts";
import type { AttemptRequest, AttemptResult } from "./smtp-client.ts";
import { InlineTransaction } from "./transaction/inline-transaction.ts";

export interface InlineRequest {
  nextHop: NextHop;
  /** The client's MAIL. Its recipients are ignored: they follow one by one. */
  envelope: Envelope;
  /** The client, which a hidden delivery shows to the server. */
  origin: Origin;
  /** The client's address or network, by which its connections are counted. */
  client: string;
  /** SIZE as the client declared it. */
  declaredOctets?: number;
}

export interface InlineSmtpClient {
  /** Begins at once. Every failure is an answer. The caller ends the transaction with finish() or abandon(). */
  openInline(request: InlineRequest): InlineTransaction;
}

/** RFC 5321 §4.5.3.2.6: the client waits 10 minutes for the reply to its dot, and storing the message may need some of them. */
const maxDotMs = 5 * 60_000;
/** Share of a step's time for opening a session: hosts that do not answer must fail before the client's step is over. */
const openShare = 0.9;
/** About the size of our Received field; RFC 1870 §6.1 asks for no more than an estimate. */
const receivedOctets = 250;

/** @param attempt  makes the attempt that drives the transaction; may reject only for our own faults */
export function openInline(
  { nextHop, envelope, origin, client, declaredOctets }: InlineRequest,
  attempt: (request: AttemptRequest) => Promise<AttemptResult>,
  { stepMs, dotMs, now }: { stepMs: number; dotMs: number; now: () => number },
): InlineTransaction {
  const destination = identifyNextHop(nextHop).limitName;
  const transaction = new InlineTransaction({
    envelope,
    declaredOctets:
      declaredOctets === undefined ? undefined : declaredOctets + (isHidden(nextHop) ? 0 : receivedOctets),
    destination,
    stepMs,
    dotMs: Math.min(dotMs, maxDotMs),
    now,
  });
  const request: AttemptRequest = {
    nextHop,
    message: emptyRecord(envelope, origin),
    recipients: [0],
    body: { kind: "buffer", bytes: Buffer.alloc(0) },
    signal: transaction.signal,
    priorityClass: inlineClass,
    client,
    openByMs: now() + openShare * stepMs,
    drive: (session) => transaction.drive(session),
  };
  attempt(request).then(
    (result) => transaction.attemptEnded(outcomeOf(result, now())),
    (error: unknown) =>
      transaction.attemptEnded(
        deferred("local", "4.3.0", `unexpected error: ${(error as Error).message}`, now()),
      ),
  );
  return transaction;
}

/** The outcome of the whole transaction, which is recipient 0 of the attempt. */
function outcomeOf(result: AttemptResult, atMs: number): Outcome {
  // RFC 3463 §3.5, X.4.5: congestion.
  if (result.kind === "full") return deferred("local", "4.4.5", result.reason, atMs);
  return result.outcomes.get(0) ?? stopped(atMs);
}

/** The record that an attempt needs, before there is a message. */
function emptyRecord({ recipients: _, ...envelope }: Envelope, origin: Origin): MessageMeta {
  return {
    version: 1,
    id: "",
    receivedAtMs: 0,
    envelope: { ...envelope, recipients: [] },
    origin,
    received: "",
    size: 0,
    has8bit: false,
    parts: [],
  };
}
