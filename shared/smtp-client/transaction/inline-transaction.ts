/**
 * Gives an open session the mail of a client that is still connected: passes each recipient on as the client names it,
 * and the message while it comes in. It owns nothing: the attempt owns the session, and `signal` makes it close it.
 */
import { isAscii } from "node:buffer";
import { type Envelope, mustHaveTls, type Recipient } from "../../mail/envelope.ts";
import { deferred, type Failure, remoteName } from "../../smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../../smtp/diagnosis.ts";
import type { SmtpConnection } from "../session/connection.ts";
import { seconds, stopped } from "../session/disconnect-reason.ts";
import type { Session, TlsResult } from "../session/session.ts";
import { ClientPace } from "./client-pace.ts";
import { type InlineStep, timeStep } from "./inline-steps.ts";
import { hasInternationalAddress, rejectUnfit, unfitFor } from "./mail-commands.ts";
import { MailTransaction, type TransactionReport } from "./mail-transaction.ts";
import { OctetQueue } from "./octet-queue.ts";

/** The remote server's answer about one recipient, for the waiting client. */
export type RecipientAnswer =
  | { kind: "accepted"; step?: InlineStep }
  | { kind: "rejected"; diagnosis: Diagnosis }
  /** A refusal for now, or no reply in time: the queue delivers to this recipient. */
  | { kind: "deferred"; diagnosis: Diagnosis };

/** How the transaction ended for all recipients that were accepted. */
export interface InlineEnd {
  outcome: Outcome;
  /** Of the session; absent in clear text, and where no server accepted MAIL. */
  tls?: TlsResult;
  /** MAIL, DATA and the final dot, as far as it came. */
  steps: readonly InlineStep[];
}

export interface InlineTransactionOptions {
  /** The client's MAIL; its recipients are ignored. */
  envelope: Envelope;
  /** The size that the client declared, with what we add; absent where the client declared none. */
  declaredOctets: number | undefined;
  /** The next hop's name, for the log. */
  destination: string;
  /** For each reply that the client waits for, and for each step that the client may take. */
  stepMs: number;
  /** For the reply to the final dot: to give up early there makes a second copy (RFC 1047). */
  dotMs: number;
  now: () => number;
}

/** Where the transaction stands, seen from the client. */
type Phase =
  /** Between two requests of the client. */
  | { name: "idle" }
  /** A recipient waits for its answer. */
  | { name: "rcpt"; recipient: Recipient; answer(answer: RecipientAnswer): void }
  /** The client sends the message. */
  | { name: "data"; prefix: Buffer }
  /** The message is whole, and its outcome is awaited. */
  | { name: "dot"; prefix: Buffer }
  | { name: "ended"; end: InlineEnd };

export class InlineTransaction {
  readonly #options: InlineTransactionOptions;
  readonly #controller = new AbortController();
  /** Never rejects. */
  readonly #ended: Promise<InlineEnd>;
  #resolveEnded: (end: InlineEnd) => void = () => {};
  #phase: Phase = { name: "idle" };
  readonly #octets = new OctetQueue();
  /** Set while the driver waits for the client: called when the client has done something. */
  #onClient: (() => void) | undefined;
  /** Since a server accepted MAIL. */
  #pace: ClientPace | undefined;
  /** Of the session in which a server accepted MAIL. */
  #tls: TlsResult | undefined;
  #steps: InlineStep[] = [];

  constructor(options: InlineTransactionOptions) {
    this.#options = options;
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Aborted when the attempt is to end at once. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the outcome is known: octets that are written now are not sent. */
  get isOver(): boolean {
    return this.#phase.name === "ended";
  }

  /** Passes a recipient on; one at a time. Answers within `stepMs`, never rejects. */
  recipient(recipient: Recipient): Promise<RecipientAnswer> {
    if (this.#phase.name === "ended") return Promise.resolve(answerOf(this.#phase.end.outcome));
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#giveUpServer(), this.#options.stepMs);
      const answer = (answer: RecipientAnswer) => {
        clearTimeout(timer);
        resolve(answer);
      };
      this.#enter({ name: "rcpt", recipient, answer });
    });
  }

  /** No more recipients: the message follows. @param prefix  what comes before it: our Received field, or nothing */
  startData(prefix: Buffer): void {
    if (this.#phase.name === "idle") this.#enter({ name: "data", prefix });
  }

  /** The next octets of the message, dot-unstuffed. @returns a promise, which never rejects, to wait for before the next */
  write(chunk: Buffer): Promise<void> | undefined {
    if (this.#phase.name === "ended") return undefined;
    const room = this.#octets.push(chunk);
    this.#onClient?.();
    return room;
  }

  /** The message is whole. @returns its outcome; never rejects */
  finish(): Promise<InlineEnd> {
    if (this.#phase.name === "data") this.#enter({ name: "dot", prefix: this.#phase.prefix });
    return this.#ended;
  }

  /** The client has given the message up, or it must not arrive. */
  abandon(): void {
    if (this.#phase.name === "ended") return;
    // Between two commands the session is in order and may stay; otherwise it must end.
    const mayStay = this.#phase.name === "idle" && this.#pace !== undefined;
    this.#conclude(stopped(this.#options.now()));
    if (!mayStay) this.#controller.abort();
  }

  /** The attempt is over: its outcome counts where the transaction has none. */
  attemptEnded(outcome: Outcome): void {
    this.#conclude(outcome);
  }

  /** Runs the transaction in an open session; called again, with the next host, when this one does not accept MAIL. */
  async drive(session: Session): Promise<TransactionReport> {
    const { envelope, declaredOctets, stepMs, dotMs, now } = this.#options;
    const phase = this.#phase;
    if (phase.name !== "rcpt") return report(stopped(now()), session.connection.isInStep);
    const { recipient } = phase;
    const unfit = this.#whyUnfit(session, recipient);
    if (unfit !== undefined) return report(unfit, true);

    const transaction = new MailTransaction(session, {
      envelope,
      // The header is not known yet: a client that asked for SMTPUTF8 gets it.
      traits: { octets: declaredOctets, has8bit: false, needsSmtpUtf8: envelope.smtputf8 === true },
      timeouts: { mail: stepMs, rcpt: stepMs, data: stepMs, body: stepMs, dot: dotMs },
      now,
    });
    const { result: mail, step } = await timeStep("MAIL", now, () =>
      transaction.mail({ recipients: [recipient], data: false }),
    );
    this.#steps = [step];
    if (mail.kind !== "accepted") {
      // A refusal for good is the client's answer; after any other the next host is asked.
      if (mail.outcome.kind === "rejected") this.#conclude(mail.outcome);
      await transaction.reset();
      return report(mail.outcome, transaction.isReusable, transaction.isUntouched);
    }
    this.#pace = new ClientPace(stepMs, now);
    this.#tls = session.tls;
    const outcome = await this.#passOn(transaction, session);
    this.#conclude(outcome);
    await transaction.reset();
    return { ...report(outcome, transaction.isReusable), isConcluded: true };
  }

  /** After MAIL: recipients one by one, then the message. */
  async #passOn(transaction: MailTransaction, session: Session): Promise<Outcome> {
    const { now } = this.#options;
    for (;;) {
      const phase = this.#phase;
      switch (phase.name) {
        case "idle":
          if (transaction.isInterrupted) return transaction.interruption();
          if (!(await this.#nextEvent(session.connection, 0)) || this.#isTooSlow(0))
            return this.#clientTooSlow();
          break;
        case "rcpt": {
          const { recipient, answer } = phase;
          const { result: rcpt, step } = await timeStep("RCPT", now, () => transaction.rcpt(recipient));
          if (rcpt.kind === "ended") return rcpt.outcome;
          if (this.#phase !== phase) break;
          this.#phase = { name: "idle" };
          answer(rcpt.kind === "accepted" ? { kind: "accepted", step } : rcpt.outcome);
          break;
        }
        case "data":
        case "dot": {
          const { prefix } = phase;
          const { result: data, step } = await timeStep("DATA", now, () => transaction.data(prefix));
          this.#steps.push(step);
          if (data.kind !== "accepted") return data.outcome;
          return this.#sendMessage(transaction, session, prefix.length);
        }
        case "ended":
          return phase.end.outcome;
      }
    }
  }

  /** Sends octets as they come until the message is whole. */
  async #sendMessage(transaction: MailTransaction, session: Session, prefixOctets: number): Promise<Outcome> {
    const { connection, extensions, remote } = session;
    const { envelope, now } = this.#options;
    // Most servers accept any message: nothing is checked for them.
    const isChecked = extensions.maxOctets !== undefined || !(extensions.eightBitMime || extensions.smtpUtf8);
    let has8bit = false;
    let octets = prefixOctets;
    let unsent: Buffer[] = [];
    for (;;) {
      for (const chunk of this.#octets.takeAll()) {
        octets += chunk.length;
        has8bit ||= isChecked && !isAscii(chunk);
        unsent.push(chunk);
      }
      const traits = { octets, has8bit, needsSmtpUtf8: false };
      const unfit = isChecked ? unfitFor(envelope, traits, extensions) : undefined;
      if (unfit !== undefined) return rejectUnfit(unfit, remote, now());
      if (this.#phase.name === "dot") {
        const { result, step } = await timeStep("DOT", now, () => transaction.dot(unsent));
        this.#steps.push(step);
        return result;
      }
      if (transaction.isInterrupted) return transaction.interruption();
      if (this.#phase.name === "ended") return this.#phase.end.outcome;
      if (unsent.length > 0) {
        if (!(await transaction.send(unsent))) return transaction.interruption();
        unsent = [];
        continue;
      }
      this.#octets.release();
      if (!(await this.#nextEvent(connection, octets)) || this.#isTooSlow(octets))
        return this.#clientTooSlow();
    }
  }

  /** Why this server cannot have this message. Another host may; where that depends on the data, the queue decides. */
  #whyUnfit({ extensions, remote }: Session, recipient: Recipient): Failure | undefined {
    const { envelope, declaredOctets, now } = this.#options;
    const needsUtf8 = hasInternationalAddress(envelope, [recipient]);
    const traits = { octets: declaredOctets, has8bit: false, needsSmtpUtf8: needsUtf8 };
    const unfit = unfitFor(envelope, traits, extensions);
    if (unfit !== undefined) return rejectUnfit(unfit, remote, now());
    if (mustHaveTls(envelope) || (envelope.smtputf8 === true && !extensions.smtpUtf8)) {
      const reason = `${remoteName(remote)}: whether it can have the message is known only when the message is whole`;
      return deferred("local", "4.3.0", reason, now(), remote);
    }
    return undefined;
  }

  /**
   * Waits until the client or the server does something.
   * @returns false when neither did within a step's time, or the time that the client has left
   */
  #nextEvent(connection: SmtpConnection, octets: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isInTime: boolean) => {
        clearTimeout(timer);
        this.#onClient = undefined;
        connection.onUnexpected = undefined;
        resolve(isInTime);
      };
      const waitMs = Math.min(this.#options.stepMs, Math.max(0, this.#timeLeftMs(octets)) + 1);
      const timer = setTimeout(() => end(false), waitMs);
      this.#onClient = () => end(true);
      connection.onUnexpected = () => end(true);
    });
  }

  #isTooSlow(octets: number): boolean {
    return this.#timeLeftMs(octets) < 0;
  }

  /** @param octets  of the message so far */
  #timeLeftMs(octets: number): number {
    const isNaming = this.#phase.name === "idle" || this.#phase.name === "rcpt";
    return this.#pace?.timeLeftMs(isNaming, octets) ?? 0;
  }

  #clientTooSlow(): Failure {
    const { now, stepMs } = this.#options;
    const reason = `the client was too slow for inline delivery (${seconds(stepMs)} for each step)`;
    return deferred("local", "4.4.2", reason, now());
  }

  /** The client has waited long enough: the queue takes over. */
  #giveUpServer(): void {
    const { destination, now, stepMs } = this.#options;
    const reason = `${destination} did not answer within ${seconds(stepMs)}`;
    this.#conclude(deferred("network", "4.4.2", reason, now()));
    this.#controller.abort();
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#onClient?.();
  }

  /** The first end counts. */
  #conclude(outcome: Outcome): void {
    const phase = this.#phase;
    if (phase.name === "ended") return;
    const tls = this.#tls === undefined ? {} : { tls: this.#tls };
    const end: InlineEnd = { outcome, ...tls, steps: this.#steps };
    this.#octets.takeAll();
    this.#octets.release();
    if (phase.name === "rcpt") phase.answer(answerOf(outcome));
    this.#resolveEnded(end);
    this.#enter({ name: "ended", end });
  }
}

/** Recipient 0 of the attempt stands for the whole transaction. */
function report(outcome: Outcome, isReusable: boolean, isUntouched = false): TransactionReport {
  return { outcomes: new Map([[0, outcome]]), tooMany: [], isReusable, isUntouched };
}

function answerOf(outcome: Outcome): RecipientAnswer {
  return outcome.kind === "delivered" ? { kind: "accepted" } : outcome;
}
