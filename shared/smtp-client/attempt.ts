/** One attempt at one message: session after session, until every recipient has an answer or the hosts are used up. */
import { identifyNextHop, type NextHopIdentity } from "../routing/next-hop.ts";
import { interruptionOf } from "../runtime/interruption.ts";
import { deferred, type Failure, type Remote, remoteName } from "../smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../smtp/diagnosis.ts";
import { unreachable } from "../unreachable.ts";
import { AddressTries } from "./address-tries.ts";
import { type AdmissionDeps, type AdmissionRequest, admit, admitAgain } from "./admission.ts";
import type { LeasedConnection } from "./connections/connection-request.ts";
import type { HostSlot, HostSlots } from "./connections/host-slots.ts";
import { type AddressDeps, deliveryAddresses } from "./next-hops/delivery-addresses.ts";
import { connectionKey, type DestinationLimits, reachabilityKeyOf } from "./next-hops/destination.ts";
import { RecipientOutcomes } from "./recipient-outcomes.ts";
import { attemptStopped, type DisconnectReason, seconds, stopped } from "./session/disconnect-reason.ts";
import type { Session } from "./session/session.ts";
import { StepLog, timeSteps } from "./session/step-log.ts";
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
  hostSlots: HostSlots;
  /** Counts the configurations of the process: attempts share no connections with those of another one. */
  settings: number;
}

/**
 * How a session went: "untouched" when it had been closed while it was idle, "refused" when the host has too many
 * connections, else whether it may be used again.
 */
type SessionUse = "untouched" | "refused" | "ended" | "reusable";

/**
 * Sessions of one attempt that get as far as MAIL. RFC 5321 §5.1 wants two addresses tried; a content filter that says
 * "later" to the whole message must not get it from each of ten hosts.
 */
const maxMailSessions = 2;

/** How often an attempt waits for a connection where the hosts have all that they may have. */
const maxHostWaits = 2;

export class Attempt {
  readonly #request: AttemptRequest;
  readonly #deps: AttemptDeps;
  readonly #startedMs: number;
  readonly #nextHop: NextHopIdentity;
  readonly #reachabilityKey: string;
  readonly #terms: SessionTerms;
  readonly #outcomes: RecipientOutcomes;
  readonly #tries = new AddressTries();
  readonly #steps = new StepLog();
  readonly #opener: SessionOpener;
  /** Addresses that had a session, or could not be reached. */
  readonly #tried = new Set<string>();
  #mailSessions = 0;
  #hasBegun = false;
  /** A host could not be asked, since it has all the connections that it may have; set anew for each leased connection. */
  #isHostFull = false;
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
    this.#opener = new SessionOpener(
      { nextHop, terms: this.#terms, openByMs, tries: this.#tries, steps: this.#steps },
      deps,
    );
  }

  async run(): Promise<AttemptResult> {
    const { message, body } = this.#request;
    const damage = damageOf(message, body);
    if (damage !== undefined) {
      const reason = `the message is damaged: ${damage}`;
      this.#outcomes.fail(deferred("local", "4.3.0", reason, this.#startedMs));
      return this.#result();
    }
    const admission = this.#admission();
    let acquired = await admit(admission, this.#deps);
    const waitedMs = this.#deps.now() - this.#startedMs;
    if (waitedMs > 0)
      this.#steps.add({ name: "admission", startedMs: this.#startedMs, durationMs: waitedMs });
    for (let waits = 0; ; waits++) {
      switch (acquired.kind) {
        case "full":
          return { ...acquired, destination: this.#nextHop.limitName };
        case "dead":
          this.#outcomes.fail({ kind: "deferred", diagnosis: acquired.diagnosis });
          return this.#result({ remembered: true });
        case "leased":
          await this.#deliverOver(acquired.leased);
          if (!this.#mustWaitForHost) return this.#result();
          acquired = await admitAgain(admission, acquired.leased, waits < maxHostWaits, this.#deps);
          break;
        default:
          return unreachable(acquired);
      }
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

  #admission(): AdmissionRequest {
    const { limitName: destination } = this.#nextHop;
    const { tls, helo, transparentSource: source = "" } = this.#terms;
    const limits = this.#deps.limitsOf(destination);
    const key = `${connectionKey(this.#nextHop, { tls, helo, source })} ${this.#deps.settings}`;
    return { request: this.#request, destination, limits, key, reachabilityKey: this.#reachabilityKey };
  }

  /** No host was asked about a recipient, and one would be if it could have another connection. */
  get #mustWaitForHost(): boolean {
    return this.#isHostFull && this.#mailSessions === 0 && !this.#isOver;
  }

  async #deliverOver(leased: LeasedConnection): Promise<void> {
    const { signal } = this.#request;
    const { pool, now } = this.#deps;
    const begunMs = now();
    this.#leased = leased;
    leased.progress = this.#steps;
    this.#isHostFull = false;
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
      this.#isHostFull = false;
      // Final outcomes must be reported whatever failed here, or that mail would be delivered again.
      if (!this.#outcomes.hasFinal) throw error;
      this.#outcomes.fail(deferred("local", "4.3.0", (error as Error).message, now()));
    } finally {
      clearTimeout(deadline);
      signal.removeEventListener("abort", interrupt);
      this.#reportReachability(begunMs);
      if (!this.#mustWaitForHost) pool.release(leased, isReusable);
    }
  }

  /** First over the session that is open already, then host by host. @returns whether the last session may be used again */
  async #deliver(leased: LeasedConnection): Promise<boolean> {
    let use: SessionUse = "ended";
    if (this.#isEnding) return false;
    if (leased.session !== undefined) {
      this.#begin();
      use = await this.#sendOver(leased.session, true);
      if (use !== "untouched") this.#tried.add(addressOf(leased.session.remote));
      if (this.#isOver) return use === "reusable";
    }
    const { nextHop } = this.#request;
    const { hostSlots } = this.#deps;
    const { tls, transparentSource } = this.#terms;
    const deps = { ...this.#deps, wasTried: (remote: Remote) => this.#tried.has(addressOf(remote)) };
    const candidates = deliveryAddresses(nextHop, tls, deps, transparentSource);
    for await (const candidate of timeSteps(candidates, "dns", this.#steps, this.#deps.now)) {
      if (this.#isEnding) break;
      if (candidate.kind !== "address") {
        this.#begin();
        this.#outcomes.fail(candidate.failure);
        if (candidate.kind === "refused") this.#opener.refetchStsPolicy();
        continue;
      }
      this.#deps.pool.endSession(leased);
      use = "ended";
      const hostSlot = await this.#takeHostSlot(candidate.remote);
      if (hostSlot === undefined) continue;
      this.#begin();
      const opened = await this.#opener.open(candidate);
      if (opened.kind === "failed") {
        hostSlot.release();
        if (await hostSlots.isFull(hostSlot, opened.outcome.diagnosis)) {
          this.#isHostFull = true;
          continue;
        }
      }
      // A certificate may be wrong for one name of the address and right for another.
      if (opened.kind === "session" || !opened.tlsFailed) this.#tried.add(addressOf(candidate.remote));
      if (opened.kind === "failed") {
        this.#outcomes.fail(opened.outcome);
        continue;
      }
      hostSlots.keepFor(hostSlot, opened.session);
      use = await this.#useOpened(leased, opened.session, hostSlot);
      if (use === "refused") {
        this.#isHostFull = true;
        this.#tried.delete(addressOf(candidate.remote));
      }
      if (this.#isOver) break;
    }
    return use === "reusable";
  }

  /** Once, when nothing more keeps a server from being asked. */
  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#request.begun?.();
  }

  /** @returns `undefined` where the host has all the connections that it may have, or the attempt was stopped */
  async #takeHostSlot(remote: Remote): Promise<HostSlot | undefined> {
    const { hostSlots, limitsOf, pool } = this.#deps;
    const { limitName: name } = this.#nextHop;
    const destination = { name, limits: limitsOf(name) };
    const taken = await hostSlots.take(remote, destination, this.#request.priorityClass);
    if ("release" in taken) {
      if (!this.#isEnding) return taken;
      taken.release();
      return undefined;
    }
    this.#isHostFull = true;
    pool.closeIdleAt(taken.name);
    return undefined;
  }

  #useOpened(leased: LeasedConnection, session: Session, hostSlot: HostSlot): Promise<SessionUse> {
    this.#deps.pool.attachSession(leased, session);
    return this.#sendOver(session, false, hostSlot);
  }

  /**
   * Sends to all pending recipients, in as many transactions as the server needs.
   * @param hostSlot  of a session that was opened for this attempt
   */
  async #sendOver(session: Session, isReused: boolean, hostSlot?: HostSlot): Promise<SessionUse> {
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
        const report = await this.#timeTransaction(session, recipients, isReused);
        if (isReused && report.isUntouched && session.connection.disconnectReason?.kind !== "aborted") {
          return "untouched";
        }
        const refusal = hostSlot && session.transactions === 1 ? wholeRefusal(report) : undefined;
        if (hostSlot && refusal && (await this.#deps.hostSlots.isFull(hostSlot, refusal))) return "refused";
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

  async #timeTransaction(
    session: Session,
    recipients: number[],
    reused: boolean,
  ): Promise<TransactionReport> {
    const { now } = this.#deps;
    const { policy, tls, remote } = session;
    const startedMs = now();
    const report = await this.#transact(session, recipients);
    let isDelivered = false;
    for (const { kind } of report.outcomes.values()) if (kind === "delivered") isDelivered = true;
    this.#steps.add({
      name: "transaction",
      startedMs,
      durationMs: now() - startedMs,
      host: remote.host,
      session: { policy, tls: tls?.protocol ?? "none", verified: tls?.verified === true, reused },
      ...(isDelivered ? {} : { failed: true as const }),
    });
    return report;
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
    } else if (noAnswer !== undefined && !this.#isStopped && !this.#isHostFull) {
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
      steps: this.#steps.steps,
      durationMs: this.#deps.now() - this.#startedMs,
    };
  }
}

/** The failure of the first recipient, where all that a session said was a refusal of MAIL. */
function wholeRefusal({ outcomes }: TransactionReport): Diagnosis | undefined {
  const [first] = outcomes.values();
  return first?.kind === "deferred" && first.diagnosis.reply?.command === "MAIL"
    ? first.diagnosis
    : undefined;
}

function addressOf({ address, port }: Remote): string {
  return `${address} ${port}`;
}
