/** The taking of messages, from DATA to the reply to the final dot. Owns the message at hand. */

import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { TlsSummary } from "../../../shared/mail/received.ts";
import { settlesWithin } from "../../../shared/runtime/with-timeout.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { type FinishedInline, finishInline } from "../inline/finish-inline.ts";
import type { InlineDelivery } from "../inline/inline-delivery.ts";
import { logInline } from "../inline/inline-log.ts";
import { makeTraceInfo, nextQueueId, type ReceivedMessage, type TraceInfo } from "../message/accept.ts";
import { DataReceiver, storageReply } from "../message/data-receiver.ts";
import { queuedReply, replies } from "../message/session-replies.ts";
import { type Stored, storeMessage } from "../message/store.ts";
import type { ClientTransaction } from "./client-transaction.ts";
import type { SessionInput } from "./session-input.ts";
import { addresses, type SessionLog, type Stage } from "./session-log.ts";
import type { SessionProfile } from "./session-profile.ts";

/** What the intake needs of its session. */
export interface ReceivingSession {
  readonly connection: ClientConnection;
  readonly input: SessionInput;
  /** The client is gone. */
  readonly isGone: boolean;
  reply(reply: Reply): void;
  /** Sends the replies so far. */
  flush(): void;
  /** Says this and closes. */
  leave(reply: Reply): void;
  /** A mistake of ours. */
  inputFailed(error: unknown): void;
  /** The transaction is over; the reply was given. */
  transactionOver(accepted: boolean): void;
}

/** A transaction whose data is being taken, and by whom it was opened. */
export interface OpenMessage {
  transaction: ClientTransaction;
  helo: string;
  ehlo: boolean;
  tls: TlsSummary | undefined;
}

/** The far server's part in the message at hand. */
interface InlinePart {
  inlineDelivery: InlineDelivery;
  trace: TraceInfo;
}

export class MessageReceiver {
  readonly #session: ReceivingSession;
  readonly #profile: SessionProfile;
  readonly #sessionLog: SessionLog;
  #message: OpenMessage | undefined;
  #receiver: DataReceiver | undefined;
  #inline: InlinePart | undefined;
  /** The final dot has come, and the reply has not gone. */
  isStoring = false;

  constructor(session: ReceivingSession, profile: SessionProfile, sessionLog: SessionLog) {
    this.#session = session;
    this.#profile = profile;
    this.#sessionLog = sessionLog;
  }

  /** Answers DATA. */
  open(message: OpenMessage): Reply {
    const { acceptor, dataLimits, now } = this.#profile;
    try {
      const draft = acceptor.spool.draft();
      this.#inline = this.#beginInline(message);
      this.#receiver = new DataReceiver(draft, dataLimits, now(), this.#inline?.inlineDelivery);
    } catch (error) {
      acceptor.log.error({ session: this.#session.connection.id, err: error }, "the spool takes no message");
      return this.#refused("DATA", message, storageReply(error));
    }
    this.#message = message;
    this.#session.input.startData();
    return replies.startData;
  }

  /** Takes octets of the message. @returns index behind its end, -1 while that has not come */
  take(chunk: Buffer): number {
    const receiver = this.#receiver;
    if (receiver === undefined) return 0;
    const end = receiver.push(chunk);
    // The far server must not get what we refuse.
    if (receiver.refusal !== undefined) this.#inline?.inlineDelivery.abandon();
    if (end >= 0) this.#finish(receiver);
    else if (receiver.isAbsurd) this.#breakOff(replies.tooLarge);
    else if (receiver.isTooSlow(this.#profile.now())) this.#breakOff(replies.tooSlow);
    else if (receiver.pressure !== undefined) this.#waitForStorage(receiver.pressure);
    return end;
  }

  /** Gives up the message at hand; what is being stored goes on. */
  abandon(): void {
    if (this.isStoring) return;
    this.#receiver?.abandon();
    this.#inline?.inlineDelivery.abandon();
    this.#forget();
  }

  /** The id and the Received field are made here: the far server gets them before the record, if there will be one. */
  #beginInline(message: OpenMessage): InlinePart | undefined {
    const { inlineDelivery, envelope } = message.transaction;
    if (inlineDelivery === undefined) return undefined;
    if (inlineDelivery.recipients.length === 0) {
      inlineDelivery.abandon();
      // Its recipients are the queue's; the log will tell why.
      if (inlineDelivery.deferred.size === 0) return undefined;
    }
    const { hostname, now } = this.#profile;
    const { connection } = this.#session;
    const { helo, ehlo, tls } = message;
    const atMs = now();
    const trace = makeTraceInfo({ connection, hostname, helo, ehlo, tls, envelope }, nextQueueId(atMs), atMs);
    inlineDelivery.startData(trace.received);
    return { inlineDelivery, trace };
  }

  #finish(receiver: DataReceiver): void {
    const message = this.#message;
    if (message === undefined) return;
    if (receiver.refusal !== undefined && receiver.storageError === undefined) {
      this.#conclude(message, receiver, { kind: "refused", reply: receiver.refusal });
      return;
    }
    const { hostname } = this.#profile;
    const { connection, input } = this.#session;
    const { transaction, ...client } = message;
    const { envelope, routes } = transaction;
    const { size, has8bit, messageId, tlsOptional } = receiver;
    const content = { messageId, size, has8bit, tlsOptional };
    const facts = { connection, hostname, ...client, envelope, routes, ...content };
    input.wait();
    this.isStoring = true;
    this.#carry(facts, receiver)
      .then(({ stored, inline }) => {
        this.isStoring = false;
        this.#conclude(message, receiver, stored, inline);
        input.resumeInput();
        this.#session.flush();
      })
      .catch((error: unknown) => this.#session.inputFailed(error));
  }

  /** To the far server, if there is one, and to the spool, for whom that leaves. */
  async #carry(
    facts: ReceivedMessage,
    receiver: DataReceiver,
  ): Promise<{ stored: Stored; inline?: FinishedInline }> {
    const { acceptor, inline, now } = this.#profile;
    const part = this.#inline;
    if (part === undefined || inline === undefined || receiver.refusal !== undefined) {
      const atMs = now();
      const trace = part?.trace ?? makeTraceInfo(facts, nextQueueId(atMs), atMs);
      return { stored: await storeMessage(receiver, facts, acceptor, trace) };
    }
    const isGone = () => this.#session.isGone;
    const finished = await finishInline({ ...part, isGone }, receiver, facts, acceptor, inline);
    return { stored: finished.stored, inline: finished };
  }

  #conclude(message: OpenMessage, receiver: DataReceiver, stored: Stored, inline?: FinishedInline): void {
    if (stored.kind === "accepted") {
      const ms = this.#profile.now() - receiver.startedAtMs;
      const inlineDelivery = this.#inline?.inlineDelivery;
      const isDelivered = inline?.end?.outcome.kind === "delivered";
      this.#sessionLog.accepted({
        id: stored.id,
        helo: message.helo,
        envelope: message.transaction.envelope,
        messageId: receiver.messageId,
        size: receiver.size,
        rows: stored.rows,
        ms,
        unheard: this.#session.isGone,
        ...(inlineDelivery === undefined
          ? {}
          : { inline: isDelivered ? inlineDelivery.recipients.length : 0 }),
      });
      if (inlineDelivery !== undefined && inline?.end !== undefined) {
        const { envelope } = message.transaction;
        const { end, isSettled } = inline;
        logInline(this.#profile.acceptor.log, {
          id: stored.id,
          envelope,
          inlineDelivery,
          end,
          ms,
          isSettled,
        });
      }
      this.#session.reply(stored.reply ?? queuedReply(stored.id));
    } else {
      receiver.abandon();
      this.#session.reply(this.#refused("DOT", message, stored.reply));
    }
    this.#forget();
    this.#session.transactionOver(stored.kind === "accepted");
  }

  #forget(): void {
    this.#receiver = undefined;
    this.#inline = undefined;
    this.#message = undefined;
  }

  /** In the middle of the data. */
  #breakOff(reply: Reply): void {
    if (this.#message !== undefined) this.#refused("DOT", this.#message, reply);
    this.abandon();
    this.#session.leave(reply);
  }

  #waitForStorage(pressure: Promise<void>): void {
    const { input } = this.#session;
    input.wait();
    settlesWithin(pressure, this.#profile.acceptor.deadlineMs)
      .then((settled) => {
        if (settled) {
          input.resumeInput();
          this.#session.flush();
        } else {
          this.#breakOff(replies.localError);
        }
      })
      .catch((error: unknown) => this.#session.inputFailed(error));
  }

  #refused(stage: Stage, { transaction, helo }: OpenMessage, reply: Reply): Reply {
    const { envelope } = transaction;
    this.#sessionLog.refused(stage, reply, { helo, from: envelope.reversePath, to: addresses(envelope) });
    return reply;
  }
}
