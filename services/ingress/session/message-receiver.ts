/** Receives messages, from DATA to the reply to the final dot. Owns the message that is being received. */
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { TraceSpan } from "../../../shared/runtime/tracing.ts";
import { settlesWithin } from "../../../shared/runtime/with-timeout.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { type FinishedInline, finishInline } from "../inline/finish-inline.ts";
import type { InlineDelivery } from "../inline/inline-delivery.ts";
import { logInline, type RefusedInline, refusedInline } from "../inline/inline-log.ts";
import { type Acceptance, storeMessage } from "../message/accept.ts";
import { DataReceiver, storageReply } from "../message/data-receiver.ts";
import {
  type ClientGreeting,
  makeTraceInfo,
  nextQueueId,
  type ReceivedMessage,
  type TraceInfo,
} from "../message/record.ts";
import { queuedReply, replies } from "../message/session-replies.ts";
import type { ClientTransaction } from "./client-transaction.ts";
import type { SessionInput } from "./session-input.ts";
import { addresses, type SessionLog, type Stage } from "./session-log.ts";
import type { SessionProfile } from "./session-profile.ts";

/** What the message receiver needs of its session. */
export interface ReceivingSession {
  readonly connection: ClientConnection;
  readonly greeting: ClientGreeting;
  readonly input: SessionInput;
  /** Absent: the session is not traced. */
  readonly trace: TraceSpan | undefined;
  /** The client has disconnected. */
  readonly isGone: boolean;
  reply(reply: Reply): void;
  /** Sends the replies so far. */
  flush(): void;
  /** Sends this reply and closes. */
  leave(reply: Reply): void;
  /** A fault of ours. */
  inputFailed(error: unknown): void;
  /** The reply to the final dot has been given. */
  transactionOver(accepted: boolean): void;
}

interface IncomingMessage {
  /** `storing`: the final dot has come, and its reply has not been given. */
  phase: "data" | "storing";
  readonly transaction: ClientTransaction;
  readonly greeting: ClientGreeting;
  readonly data: DataReceiver;
  /** Present where it also goes to a remote server. */
  readonly inline: InlineCopy | undefined;
}

/** The remote server gets the trace information before the record, if the message is recorded at all. */
interface InlineCopy {
  inlineDelivery: InlineDelivery;
  trace: TraceInfo;
}

/** What became of a message, and how its inline delivery ended. */
type Finished = { acceptance: Acceptance } & Partial<FinishedInline>;

export class MessageReceiver {
  readonly #session: ReceivingSession;
  readonly #profile: SessionProfile;
  readonly #sessionLog: SessionLog;
  #incoming: IncomingMessage | undefined;

  constructor(session: ReceivingSession, profile: SessionProfile, sessionLog: SessionLog) {
    this.#session = session;
    this.#profile = profile;
    this.#sessionLog = sessionLog;
  }

  /** From 354 to the final dot. */
  get isReceiving(): boolean {
    return this.#incoming?.phase === "data";
  }

  get isStoring(): boolean {
    return this.#incoming?.phase === "storing";
  }

  /** @returns the reply to DATA */
  startMessage(transaction: ClientTransaction): Reply {
    const { acceptor, dataLimits, now } = this.#profile;
    const { connection, greeting, input } = this.#session;
    try {
      const draft = acceptor.spool.draft();
      const inline = this.#startInlineCopy(transaction);
      const data = new DataReceiver(draft, dataLimits, now(), inline?.inlineDelivery);
      this.#incoming = { phase: "data", transaction, greeting, data, inline };
    } catch (error) {
      acceptor.log.error({ session: connection.id, err: error }, "the spool takes no message");
      return this.#refuse("DATA", { transaction, greeting }, storageReply(error));
    }
    input.startData();
    return replies.startData;
  }

  /** @returns index behind the end of the message, -1 while that has not come */
  receiveData(chunk: Buffer): number {
    const incoming = this.#incoming;
    if (incoming === undefined) return 0;
    const { data, inline } = incoming;
    const end = data.push(chunk);
    // The remote server must not get what we refuse.
    if (data.refusal !== undefined) inline?.inlineDelivery.abandon();
    if (end >= 0) this.#finish(incoming);
    else if (data.isTooLargeToReadOn) this.#breakOff(replies.tooLarge);
    else if (data.isTooSlow(this.#profile.now())) this.#breakOff(replies.tooSlow);
    else if (data.pressure !== undefined) this.#waitForStorage(data, data.pressure);
    return end;
  }

  /** Gives up the message that is being received; what is being stored goes on. */
  abandon(): void {
    if (this.#incoming === undefined || this.isStoring) return;
    const { data, inline } = this.#incoming;
    data.abandon();
    inline?.inlineDelivery.abandon();
    this.#incoming = undefined;
  }

  #startInlineCopy({ inlineDelivery, envelope }: ClientTransaction): InlineCopy | undefined {
    if (inlineDelivery === undefined) return undefined;
    if (inlineDelivery.recipients.length === 0) {
      inlineDelivery.abandon();
      // The queue has its recipients; where the server deferred some, the log says why.
      if (inlineDelivery.deferred.size === 0) return undefined;
    }
    const { hostname, shards, now } = this.#profile;
    const { connection, greeting } = this.#session;
    const atMs = now();
    const id = nextQueueId(atMs, shards);
    const trace = makeTraceInfo({ connection, hostname, ...greeting, envelope }, id, atMs);
    inlineDelivery.startData(trace.received);
    return { inlineDelivery, trace };
  }

  /** The final dot has come. */
  #finish(incoming: IncomingMessage): void {
    const { refusal, storageError } = incoming.data;
    if (refusal !== undefined && storageError === undefined) {
      this.#conclude(incoming, { acceptance: { kind: "refused", reply: refusal } });
      return;
    }
    const { input } = this.#session;
    const { now, metrics } = this.#profile;
    const dotAtMs = now();
    input.wait();
    incoming.phase = "storing";
    const span = this.#traceMessage(incoming);
    this.#deliverAndStore(incoming, span)
      .then((finished) => {
        if (span !== undefined) endMessageSpan(span, finished.acceptance, now());
        metrics.concluded(finished.acceptance.kind, (now() - dotAtMs) / 1000);
        this.#conclude(incoming, finished);
        input.resumeInput();
        this.#session.flush();
      })
      .catch((error: unknown) => {
        this.#incoming = undefined;
        this.#session.inputFailed(error);
      });
  }

  /** To the remote server, if there is one, and to the spool for the recipients that are left. */
  async #deliverAndStore(incoming: IncomingMessage, span: TraceSpan | undefined): Promise<Finished> {
    const { data, inline: copy } = incoming;
    const { acceptor, inline, shards, now } = this.#profile;
    const message = this.#describe(incoming);
    if (copy === undefined || inline === undefined || data.refusal !== undefined) {
      const atMs = now();
      const trace = traced(copy?.trace ?? makeTraceInfo(message, nextQueueId(atMs, shards), atMs), span);
      const store = () => storeMessage(data, message, acceptor, trace);
      return { acceptance: await (span === undefined ? store() : this.#step("store", span, store)) };
    }
    const isGone = () => this.#session.isGone;
    const trace = traced(copy.trace, span);
    const { inlineDelivery } = copy;
    const received = { inlineDelivery, trace, message, receiver: data, isGone };
    const finish = () => finishInline(received, { acceptor, inline });
    return span === undefined ? finish() : this.#step("inline", span, finish);
  }

  #traceMessage({ transaction, data }: IncomingMessage): TraceSpan | undefined {
    const { trace } = this.#session;
    if (trace === undefined) return undefined;
    return this.#profile.tracing?.startSpan("message", trace.traceparent, data.startedAtMs, {
      "postern.recipients": transaction.recipientCount,
      "postern.size": data.size,
    });
  }

  /** A step of a message, with a span of its own where the message is traced. */
  async #step<T>(name: string, parent: TraceSpan, work: () => Promise<T>): Promise<T> {
    const { tracing, now } = this.#profile;
    const span = tracing?.startSpan(name, parent.traceparent, now());
    const result = await work();
    span?.end(now());
    return result;
  }

  #describe({ transaction, greeting, data }: IncomingMessage): ReceivedMessage {
    const { connection } = this.#session;
    const { hostname } = this.#profile;
    const { envelope, routes } = transaction;
    const { size, has8bit, messageId, tlsOptional } = data;
    return { connection, hostname, ...greeting, envelope, routes, messageId, size, has8bit, tlsOptional };
  }

  /** Logs what became of the message, and gives the reply. */
  #conclude(incoming: IncomingMessage, finished: Finished): void {
    this.#incoming = undefined;
    const { acceptance } = finished;
    if (acceptance.kind === "accepted") {
      this.#logAccepted(incoming, acceptance, finished);
      this.#session.reply(acceptance.reply ?? queuedReply(acceptance.id));
    } else {
      incoming.data.abandon();
      const { end } = finished;
      const ms = this.#profile.now() - incoming.data.startedAtMs;
      const facts = end === undefined ? {} : refusedInline(end, ms);
      this.#session.reply(this.#refuse("DOT", incoming, acceptance.reply, facts));
    }
    this.#session.transactionOver(acceptance.kind === "accepted");
  }

  #logAccepted(
    { transaction, greeting, data, inline }: IncomingMessage,
    { id, rows }: Acceptance & { kind: "accepted" },
    { end, isSettled = false }: Finished,
  ): void {
    const { envelope } = transaction;
    const ms = this.#profile.now() - data.startedAtMs;
    const isDelivered = end?.outcome.kind === "delivered";
    this.#sessionLog.accepted({
      id,
      helo: greeting.helo,
      envelope,
      messageId: data.messageId,
      size: data.size,
      rows,
      ms,
      unheard: this.#session.isGone,
      ...(inline === undefined ? {} : { inline: isDelivered ? inline.inlineDelivery.recipients.length : 0 }),
    });
    if (inline === undefined || end === undefined) return;
    const { inlineDelivery } = inline;
    logInline(this.#profile.acceptor.log, { id, envelope, inlineDelivery, end, ms, isSettled });
  }

  /** Ends the session in the middle of the data. */
  #breakOff(reply: Reply): void {
    if (this.#incoming !== undefined) this.#refuse("DOT", this.#incoming, reply);
    this.abandon();
    this.#session.leave(reply);
  }

  #waitForStorage(data: DataReceiver, pressure: Promise<void>): void {
    const { input } = this.#session;
    const { now } = this.#profile;
    const sinceMs = now();
    input.wait();
    settlesWithin(pressure, this.#profile.acceptor.deadlineMs)
      .then((settled) => {
        if (settled) {
          data.addPause(now() - sinceMs);
          input.resumeInput();
          this.#session.flush();
        } else {
          this.#breakOff(replies.localError);
        }
      })
      .catch((error: unknown) => this.#session.inputFailed(error));
  }

  #refuse(
    stage: Stage,
    { transaction, greeting }: Pick<IncomingMessage, "transaction" | "greeting">,
    reply: Reply,
    facts: Partial<RefusedInline> = {},
  ): Reply {
    const { envelope } = transaction;
    const to = addresses(envelope);
    this.#sessionLog.refused(stage, reply, { helo: greeting.helo, from: envelope.reversePath, to, ...facts });
    return reply;
  }
}

function traced(trace: TraceInfo, span: TraceSpan | undefined): TraceInfo {
  return span === undefined ? trace : { ...trace, traceparent: span.traceparent };
}

function endMessageSpan(span: TraceSpan, acceptance: Acceptance, nowMs: number): void {
  if (acceptance.kind === "accepted") span.end(nowMs, { attributes: { "postern.id": acceptance.id } });
  else span.end(nowMs, { failed: `refused with ${acceptance.reply.code}` });
}
