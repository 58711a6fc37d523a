/** One attempt at one message: session after session, until every recipient has an answer or the hosts are used up. */
import { identifyNextHop, type NextHopIdentity } from "../routing/next-hop.ts";
import { interruptionOf } from "../runtime/interruption.ts";
import { deferred, type Failure, type Remote, remoteName } from "../smtp/diagnose.ts";
import type { Outcome } from "../smtp/diagnosis.ts";
import { unreachable } from "../unreachable.ts";
import { AddressTries } from "./address-tries.ts";
import { type AdmissionDeps, admit } from "./admission.ts";
import type { Acquired, LeasedConnection } from "./connections/connection-request.ts";
import { type AddressDeps, deliveryAddresses } from "./next-hops/delivery-addresses.ts";
import { connectionKey, type DestinationLimits, reachabilityKeyOf } from "./next-hops/destination.ts";
import { RecipientOutcomes } from "./recipient-outcomes.ts";
import { attemptStopped, type DisconnectReason, seconds, stopped } from "./session/disconnect-reason.ts";
import type { Session } from "./session/session.ts";
import { SessionOpener, type SessionOpenerDeps } from "./session-opener.ts";
import { isHidden, type SessionTerms, type SessionTermsDeps, sessionTerms } from "./session-terms.ts";
import type { AttemptFacts, AttemptRequest, AttemptResult } from "./smtp-client.ts";
import type { TransactionReport } from "./transaction/mail-transaction.ts";
import { recipientGroups } from "./transaction/recipient-groups.ts";
import { sendStored } from "./transaction/send-stored.ts";
import { damageOf, outgoingMessage } from "./transaction/stored-message.ts";

export interface AttemptDeps extends SessionOpenerDeps, SessionTermsDeps, AddressDeps, AdmissionDeps {
  sts: AddressDeps["sts"];
  limitsOf: (destination: string) => DestinationLimits;
}

/** How a session went: "untouched" when it had been closed while it was idle, else whether it may be used again. */
type SessionUse = "untouched" | "ended" | "reusable";

/**
 * Sessions of one attempt that get as far as MAIL. RFC 5321 §5.1 wants two addresses tried; a content filter that says
 * "later" to the whole message must not get it from each of ten hosts.
 */
const maxMailSessions = 2;

export class Attempt {
  readonly #request: AttemptRequest;
  readonly #deps: AttemptDeps;
  readonly #startedMs: number;
  readonly #nextHop: NextHopIdentity;
  readonly #reachabilityKey: string;
  readonly #terms: SessionTerms;
  readonly #outcomes: RecipientOutcomes;
  readonly #tries = new AddressTries();
  readonly #opener: SessionOpener;
  /** Addresses that had a session, or could not be reached. */
  readonly #tried = new Set<string>();
  #mailSessions = 0;
  #leased: LeasedConnection | undefined;
  /** It is not carried to its end: by stop(), or by its signal. */
  #isStopped = false;
  /** Stopped or late: nothing more is begun. */
  #endedBy: DisconnectReason | undefined;
  /** No other host is to be asked. */
  #isConcluded = false;

  constructor(request: AttemptRequest, deps: AttemptDeps) {
    const { nextHop, recipients, openByMs } = request;
    this.#request = request;
    this.#deps = deps;
    this.#startedMs = deps.now();
    this.#terms = sessionTerms(request, deps);
    this.#nextHop = identifyNextHop(nextHop);
    this.#reachabilityKey = reachabilityKeyOf(this.#nextHop, {
      source: this.#terms.transparentSource ?? "",
      isInline: openByMs !== undefined,
    });
    this.#outcomes = new RecipientOutcomes(recipients);
    this.#opener = new SessionOpener({ nextHop, terms: this.#terms, openByMs, tries: this.#tries }, deps);
  }

  async run(): Promise<AttemptResult> {
    const { message, body } = this.#request;
    const damage = damageOf(message, body);
    if (damage !== undefined) {
      const reason = `the message is damaged: ${damage}`;
      this.#outcomes.fail(deferred("local", "4.3.0", reason, this.#startedMs));
      return this.#result();
    }
    const admission = await this.#admit();
    switch (admission.kind) {
      case "full":
        return { ...admission, destination: this.#nextHop.limitName };
      case "dead":
        this.#outcomes.fail({ kind: "deferred", diagnosis: admission.diagnosis });
        return this.#result({ remembered: true });
      case "leased":
        await this.#deliverOver(admission.leased);
        return this.#result();
      default:
        return unreachable(admission);
    }
  }

  /** Ends the attempt at once: recipients without an answer are deferred. */
  stop(): void {
    this.#isStopped = true;
    this.#end(attemptStopped);
    this.#cut(attemptStopped);
  }

  /** Nothing more is begun, and what is under way is cut. A server that has the whole message keeps its time to reply. */
  #end(why: DisconnectReason): void {
    this.#endedBy = why;
    this.#opener.stop(why);
    if (this.#leased?.session?.isAwaitingDot !== true) this.#cut(why);
  }

  #cut({ kind, reason }: DisconnectReason): void {
    this.#leased?.session?.connection.destroy(kind, reason);
  }

  #interrupt(): void {
    if (interruptionOf(this.#request.signal) === "stopping") {
      this.#isStopped = true;
      this.#end(attemptStopped);
    } else {
      this.stop();
    }
  }

  #admit(): Promise<Acquired> {
    const { limitName: destination } = this.#nextHop;
    const { tls, helo, transparentSource: source = "" } = this.#terms;
    const limits = this.#deps.limitsOf(destination);
    const key = connectionKey(this.#nextHop, { tls, helo, source });
    return admit(
      { request: this.#request, destination, limits, key, reachabilityKey: this.#reachabilityKey },
      this.#deps,
    );
  }

  async #deliverOver(leased: LeasedConnection): Promise<void> {
    const { signal } = this.#request;
    const { pool, now } = this.#deps;
    this.#request.begun?.();
    const begunMs = now();
    this.#leased = leased;
    const interrupt = () => this.#interrupt();
    if (signal.aborted) interrupt();
    else signal.addEventListener("abort", interrupt);
    const { attempt: longestMs } = this.#deps.timeouts;
    const late: DisconnectReason = {
      kind: "timeout",
      reason: `the attempt took longer than ${seconds(longestMs)}`,
    };
    const deadline = setTimeout(() => this.#end(late), longestMs);
    let isReusable = false;
    try {
      isReusable = await this.#deliver(leased);
    } catch (error) {
      // Final outcomes must be reported whatever failed here, or that mail would be delivered again.
      if (!this.#outcomes.hasFinal) throw error;
      this.#outcomes.fail(deferred("local", "4.3.0", (error as Error).message, now()));
    } finally {
      clearTimeout(deadline);
      signal.removeEventListener("abort", interrupt);
      this.#reportReachability(begunMs);
      pool.release(leased, isReusable);
    }
  }

  /** First over the session that is open already, then host by host. @returns whether the last session may be used again */
  async #deliver(leased: LeasedConnection): Promise<boolean> {
    let use: SessionUse = "ended";
    if (this.#isEnding) return false;
    if (leased.session !== undefined) {
      use = await this.#sendOver(leased.session, true);
      if (use !== "untouched") this.#tried.add(addressOf(leased.session.remote));
      if (this.#isOver) return use === "reusable";
    }
    const { nextHop } = this.#request;
    const { tls, transparentSource } = this.#terms;
    const deps = { ...this.#deps, wasTried: (remote: Remote) => this.#tried.has(addressOf(remote)) };
    for await (const candidate of deliveryAddresses(nextHop, tls, deps, transparentSource)) {
      if (this.#isEnding) break;
      if (candidate.kind !== "address") {
        this.#outcomes.fail(candidate.failure);
        if (candidate.kind === "refused") this.#opener.refetchStsPolicy();
        continue;
      }
      this.#deps.pool.endSession(leased);
      use = "ended";
      const opened = await this.#opener.open(candidate);
      // A certificate may be wrong for one name of the address and right for another.
      if (opened.kind === "session" || !opened.tlsFailed) this.#tried.add(addressOf(candidate.remote));
      if (opened.kind === "failed") {
        this.#outcomes.fail(opened.outcome);
        continue;
      }
      use = await this.#useOpened(leased, opened.session);
      if (this.#isOver) break;
    }
    return use === "reusable";
  }

  #useOpened(leased: LeasedConnection, session: Session): Promise<SessionUse> {
    this.#deps.pool.attachSession(leased, session);
    return this.#sendOver(session, false);
  }

  /** Sends to all pending recipients, in as many transactions as the server needs. */
  async #sendOver(session: Session, isReused: boolean): Promise<SessionUse> {
    const { now } = this.#deps;
    const { envelope } = this.#request.message;
    const startedMs = now();
    const transactionsBefore = session.transactions;
    let isReusable = true;
    let last: Outcome | undefined;
    for (const group of recipientGroups(envelope, this.#outcomes.pending, session.extensions)) {
      if (this.#isEnding) break;
      if (!isReusable) this.#deferGroup(group, session.remote);
      let recipients = group;
      while (recipients.length > 0 && isReusable && !this.#isEnding) {
        const report = await this.#transact(session, recipients);
        if (isReused && report.isUntouched && session.connection.disconnectReason?.kind !== "aborted") {
          return "untouched";
        }
        for (const [index, outcome] of report.outcomes) {
          last = outcome;
          this.#outcomes.add(index, outcome);
        }
        this.#tries.addUse(session, isReused, last, { startedMs, nowMs: now() });
        this.#reportDelivered(report.outcomes);
        isReusable = report.isReusable;
        recipients = report.tooMany;
        this.#isConcluded = report.isConcluded === true;
      }
    }
    if (session.transactions > transactionsBefore) this.#mailSessions++;
    return isReusable && !this.#isEnding ? "reusable" : "ended";
  }

  #transact(session: Session, recipients: number[]): Promise<TransactionReport> {
    const { message, body, nextHop, drive } = this.#request;
    if (drive !== undefined) return drive(session);
    const outgoing = outgoingMessage(message, recipients, body, isHidden(nextHop));
    return sendStored(session, outgoing, recipients, this.#deps.timeouts, this.#deps.now);
  }

  /** When nobody is left to ask, the result follows at once and is report enough. */
  #reportDelivered(outcomes: ReadonlyMap<number, Outcome>): void {
    if (this.#request.delivered === undefined || this.#outcomes.isComplete) return;
    const delivered = new Map([...outcomes].filter(([, outcome]) => outcome.kind === "delivered"));
    if (delivered.size > 0) this.#request.delivered(delivered, this.#facts());
  }

  /** The session ended before the transaction of these recipients. */
  #deferGroup(group: number[], remote: Remote): void {
    const reason = `the session with ${remoteName(remote)} ended before their transaction`;
    const outcome = deferred("network", "4.4.2", reason, this.#deps.now(), remote);
    for (const index of group) this.#outcomes.add(index, outcome);
  }

  /** Updates the dead-destination cache, so that other attempts need not find out. */
  #reportReachability(begunMs: number): void {
    const { limiter, now } = this.#deps;
    const { limitName } = this.#nextHop;
    const { isAnswered, noAnswer } = this.#tries;
    if (isAnswered) {
      limiter.reportAnswer(limitName, this.#reachabilityKey, Math.max(1, now() - begunMs));
    } else if (noAnswer !== undefined && !this.#isStopped) {
      limiter.reportNoAnswer(limitName, this.#reachabilityKey, noAnswer, this.#startedMs);
    }
  }

  get #isEnding(): boolean {
    return this.#endedBy !== undefined;
  }

  get #isOver(): boolean {
    const hasAsked = this.#mailSessions >= maxMailSessions;
    return this.#outcomes.isComplete || this.#isEnding || this.#isConcluded || hasAsked;
  }

  #result(more: { remembered?: true } = {}): AttemptResult {
    const outcomes = this.#outcomes.conclude(() => this.#unasked());
    return { kind: "tried", outcomes, facts: { ...this.#facts(), ...more } };
  }

  /** Of recipients that no host was asked about. */
  #unasked(): Failure {
    const nowMs = this.#deps.now();
    if (this.#endedBy?.kind !== "timeout") return stopped(nowMs);
    return deferred("network", "4.4.2", this.#endedBy.reason, nowMs);
  }

  #facts(): AttemptFacts {
    const { limitName: destination } = this.#nextHop;
    return {
      destination,
      tries: this.#tries.entries,
      durationMs: this.#deps.now() - this.#startedMs,
    };
  }
}

function addressOf({ address, port }: Remote): string {
  return `${address} ${port}`;
}
