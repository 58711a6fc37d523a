/** Gives an open session a message from the spool: all of it is known beforehand, so its commands go out together. */
import { type Envelope, mustHaveTls, type Recipient } from "../../mail/envelope.ts";
import { deferred, type Failure, type Remote, rejected, remoteName, replyLine } from "../../smtp/diagnose.ts";
import type { Outcome } from "../../smtp/diagnosis.ts";
import { type Body, SpoolCorrupt } from "../../spool/spool.ts";
import type { Session } from "../session/session.ts";
import { rejectUnfit, unfitFor } from "./mail-commands.ts";
import { MailTransaction, type StepTimeouts, type TransactionReport } from "./mail-transaction.ts";
import type { OutgoingMessage } from "./stored-message.ts";

/** A body in memory goes out in blocks of this size, each with its time-out; most are one block. */
const blockOctets = 256 * 1024;

/**
 * @param recipients  indexes into the envelope, at least one
 * @throws SpoolCorrupt when the body turns out to be damaged; the connection is destroyed then
 */
export async function sendStored(
  session: Session,
  message: OutgoingMessage,
  recipients: readonly number[],
  timeouts: StepTimeouts,
  now: () => number,
): Promise<TransactionReport> {
  const { envelope, traits } = message;
  const transaction = new MailTransaction(session, { envelope, traits, timeouts, now });
  const outcomes = new Map<number, Outcome>();
  const tooMany: number[] = [];
  try {
    const failure =
      whyUnfit(session, message, now()) ??
      (await sendEnvelope(transaction, message, recipients, { outcomes, tooMany }));
    const unanswered = recipients.filter((index) => !outcomes.has(index));
    if (unanswered.length > 0) {
      const outcome = failure ?? (await sendMessage(transaction, message, timeouts.body, now));
      for (const index of unanswered) outcomes.set(index, outcome);
    }
  } finally {
    await transaction.reset();
  }
  if (transaction.isOutOfStep) deferRejections(outcomes, session.remote, now());
  const { isReusable, isUntouched } = transaction;
  return { outcomes, tooMany, isReusable, isUntouched };
}

/** A refusal that came before the server was found out of step may have been about another recipient, or another command. */
function deferRejections(outcomes: Map<number, Outcome>, remote: Remote, atMs: number): void {
  for (const [index, outcome] of outcomes) {
    if (outcome.kind !== "rejected" || outcome.diagnosis.reply === undefined) continue;
    const said = replyLine(outcome.diagnosis.reply);
    const reason = `the replies of ${remoteName(remote)} do not fit the commands, so that this one may be about another recipient: ${said}`;
    outcomes.set(index, deferred("network", "4.5.0", reason, atMs, remote));
  }
}

/** Why this server cannot have this message at all. */
function whyUnfit(
  { extensions, remote }: Session,
  message: OutgoingMessage,
  atMs: number,
): Failure | undefined {
  const { envelope, traits } = message;
  const unfit = unfitFor(envelope, traits, extensions);
  if (unfit !== undefined) return rejectUnfit(unfit, remote, atMs);
  // RFC 8689 §4.2.1: the server must promise REQUIRETLS too. Its certificate was judged when the session was opened.
  if (mustHaveTls(envelope) && !extensions.requireTls) {
    return rejected("5xx", "5.7.30", `${remoteName(remote)}: it does not offer REQUIRETLS`, atMs, remote);
  }
  return undefined;
}

/**
 * MAIL and RCPT.
 * @param found  gets the recipients that the server refuses one by one
 * @returns why the others have failed already
 */
async function sendEnvelope(
  transaction: MailTransaction,
  { envelope }: OutgoingMessage,
  indexes: readonly number[],
  { outcomes, tooMany }: Pick<TransactionReport, "outcomes" | "tooMany">,
): Promise<Failure | undefined> {
  const recipients = indexes.map((index) => recipientAt(envelope, index));
  const mail = await transaction.mail({ recipients, data: true });
  if (mail.kind !== "accepted") return mail.outcome;
  for (const index of indexes) {
    const rcpt = await transaction.rcpt(recipientAt(envelope, index));
    if (rcpt.kind === "ended") return rcpt.outcome;
    if (rcpt.kind === "accepted") continue;
    outcomes.set(index, rcpt.outcome);
    if (rcpt.tooMany) tooMany.push(index);
  }
  return undefined;
}

function recipientAt({ recipients }: Envelope, index: number): Recipient {
  const recipient = recipients[index];
  if (recipient === undefined) throw new Error(`the message has no recipient ${index}`);
  return recipient;
}

/** DATA and the message. @returns the outcome of every recipient that was accepted */
async function sendMessage(
  transaction: MailTransaction,
  { prefix, body }: OutgoingMessage,
  timeoutMs: number,
  now: () => number,
): Promise<Outcome> {
  const data = await transaction.data(prefix);
  if (data.kind !== "accepted") return data.outcome;
  return body.kind === "buffer"
    ? sendBuffer(transaction, body.bytes)
    : sendFile(transaction, body, timeoutMs, now);
}

async function sendBuffer(transaction: MailTransaction, bytes: Buffer): Promise<Outcome> {
  let at = 0;
  for (; bytes.length - at > blockOctets; at += blockOctets) {
    if (!(await transaction.send([bytes.subarray(at, at + blockOctets)]))) return transaction.interruption();
  }
  // The usual case is one block: everything in one write, so in one segment or few.
  return transaction.dot([bytes.subarray(at)]);
}

/** @param timeoutMs  for the spool to give the next octets, too */
async function sendFile(
  transaction: MailTransaction,
  body: Extract<Body, { kind: "file" }>,
  timeoutMs: number,
  now: () => number,
): Promise<Outcome> {
  const unreadable = (reason: string) =>
    deferred("local", "4.3.0", `the message could not be read from the spool: ${reason}`, now());
  const stream = body.open();
  const watchdog = () =>
    setTimeout(() => stream.destroy(new Error(`nothing could be read for ${timeoutMs} ms`)), timeoutMs);
  let timer = watchdog();
  let octets = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      octets += chunk.length;
      if (!(await transaction.send([chunk]))) return await transaction.interruption();
      timer = watchdog();
    }
  } catch (error) {
    // Another attempt cannot help: the caller of this one decides.
    if (error instanceof SpoolCorrupt) throw error;
    return unreadable((error as Error).message);
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
  if (octets !== body.size) return unreadable(`it has ${octets} octets of ${body.size}`);
  return transaction.dot([]);
}
