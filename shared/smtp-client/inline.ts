/** Inline delivery: a transaction with the far server while the client is still connected, by the same code as deliveries. */
import type { Envelope } from "../mail/envelope.ts";
import type { MessageMeta, Origin } from "../mail/message.ts";
import { identifyNextHop, type NextHop } from "../routing/next-hop.ts";
import { deferred } from "../smtp/diagnose.ts";
import type { Outcome } from "../smtp/diagnosis.ts";
import { stopped } from "./next-hops/delivery-addresses.ts";
import type { AttemptRequest, AttemptResult } from "./smtp-client.ts";
import { InlineTransaction } from "./transaction/inline-transaction.ts";

export interface InlineRequest {
  nextHop: NextHop;
  /** What MAIL said. Its recipients are not looked at: they follow one by one. */
  envelope: Envelope;
  /** Whom it comes from: a hidden delivery shows it. */
  origin: Origin;
  /** SIZE as the client declared it. */
  declaredOctets?: number;
}

export interface InlineSmtpClient {
  /** Begins at once; everything that goes wrong is told in the answers. The caller ends it with finish() or abandon(). */
  openInline(request: InlineRequest): InlineTransaction;
}

/** RFC 5321 §4.5.3.2.6 lets the client wait 10 minutes for the reply to its dot; the storage may need some of it. */
const maxDotMs = 5 * 60_000;
/** So that hosts which are silent to the end are known to be, before the client has waited long enough. */
const openShare = 0.9;
/** A Received field of ours, about; RFC 1870 §6.1 asks for no more than an estimate. */
const receivedOctets = 250;

/** @param attempt  makes the attempt that the transaction is conducted in; may reject only for our own faults */
export function openInline(
  { nextHop, envelope, origin, declaredOctets }: InlineRequest,
  attempt: (request: AttemptRequest) => Promise<AttemptResult>,
  { stepMs, dotMs, now }: { stepMs: number; dotMs: number; now: () => number },
): InlineTransaction {
  const isHidden = nextHop.kind === "servers" && nextHop.hide;
  const destination = identifyNextHop(nextHop).limitName;
  const transaction = new InlineTransaction({
    envelope,
    declaredOctets:
      declaredOctets === undefined ? undefined : declaredOctets + (isHidden ? 0 : receivedOctets),
    destination,
    stepMs,
    dotMs: Math.min(dotMs, maxDotMs),
    now,
  });
  const request: AttemptRequest = {
    nextHop,
    message: unfinished(envelope, origin),
    recipients: [0],
    body: { kind: "buffer", bytes: Buffer.alloc(0) },
    signal: transaction.signal,
    openByMs: now() + openShare * stepMs,
    drive: (session) => transaction.drive(session),
  };
  attempt(request).then(
    (result) => transaction.attemptEnded(outcomeOf(result, now())),
    (error: unknown) =>
      transaction.attemptEnded(
        deferred("local", "4.3.0", `our own fault: ${(error as Error).message}`, now()),
      ),
  );
  return transaction;
}

/** What an attempt came to for the whole transaction, which is its recipient 0. */
function outcomeOf(result: AttemptResult, atMs: number): Outcome {
  // RFC 3463 §3.5, X.4.5: congestion.
  if (result.kind === "full") return deferred("local", "4.4.5", result.reason, atMs);
  return result.outcomes.get(0) ?? stopped(atMs);
}

/** As much of a record as an attempt asks for before there is a message. */
function unfinished({ recipients: _, ...envelope }: Envelope, origin: Origin): MessageMeta {
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
