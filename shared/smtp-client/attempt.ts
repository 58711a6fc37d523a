/** One attempt at one message: session after session, until every recipient has an answer or the hosts are used up. */
import net from "node:net";
import { mustHaveTls } from "../mail/envelope.ts";
import type { MessageMeta } from "../mail/message.ts";
import { isLoopback } from "../net/network.ts";
import { identifyNextHop, type NextHop, type NextHopIdentity, type TlsLevel } from "../routing/next-hop.ts";
import { deferred, type Failure, type Remote, remoteName, replyLine } from "../smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../smtp/diagnosis.ts";
import { type AdmissionDeps, admit } from "./admission.ts";
import type { LeasedConnection } from "./connections/connection-request.ts";
import {
  type AddressCandidate,
  type AddressDeps,
  deliveryAddresses,
  stopped,
} from "./next-hops/delivery-addresses.ts";
import { connectionKey, type DestinationLimits, reachabilityKeyOf } from "./next-hops/destination.ts";
import { RecipientOutcomes } from "./recipient-outcomes.ts";
import { type Opened, openSession, type Session, type SessionDeps } from "./session/session.ts";
import type { AddressTry, AttemptRequest, AttemptResult } from "./smtp-client.ts";
import {
  clearText,
  levelForRequireTls,
  type TlsPolicy,
  type TlsRequirements,
  testingFailure,
  tlsPolicy,
} from "./tls/policy.ts";
import { needsSmtpUtf8 } from "./transaction/mail-commands.ts";
import type { TransactionReport } from "./transaction/mail-transaction.ts";
import { sendStored } from "./transaction/send-stored.ts";
import { damageOf, outgoingMessage } from "./transaction/stored-message.ts";

export interface AttemptDeps extends SessionDeps, AddressDeps, AdmissionDeps {
  limitsOf: (destination: string) => DestinationLimits;
  tlsLevelOf: (nextHop: NextHop) => TlsLevel;
  /** Local addresses to deliver from; empty: the system's choice. */
  sourceAddresses: string[];
  /** For hidden deliveries: the client's address to come from, where the network is made for it. */
  transparentSourceOf: (message: MessageMeta) => string | undefined;
}

type DeliveryAddress = Extract<AddressCandidate, { kind: "address" }>;

export class Attempt {
  readonly #request: AttemptRequest;
  readonly #deps: AttemptDeps;
  readonly #nextHop: NextHopIdentity;
  readonly #destination: string;
  readonly #hide: boolean;
  readonly #helo: string;
  readonly #wish: TlsRequirements;
  readonly #transparentSource: string | undefined;
  readonly #recipientOutcomes: RecipientOutcomes;
  readonly #tries: AddressTry[] = [];
  #isStopped = false;
  #isConcluded = false;
  #leased: LeasedConnection | undefined;
  #opening: AbortController | undefined;
  /** A host spoke to us. */
  #isAnswered = false;
  /** How the last host that did not say a word failed. */
  #silence: Diagnosis | undefined;

  constructor(request: AttemptRequest, deps: AttemptDeps) {
    const { nextHop, message } = request;
    this.#request = request;
    this.#deps = deps;
    this.#nextHop = identifyNextHop(nextHop);
    this.#destination = this.#nextHop.limitName;
    this.#hide = nextHop.kind === "servers" && nextHop.hide;
    this.#helo = this.#hide ? (heloOf(message) ?? deps.hostname) : deps.hostname;
    this.#transparentSource = this.#hide ? deps.transparentSourceOf(message) : undefined;
    const level = deps.tlsLevelOf(nextHop);
    const requireTls = mustHaveTls(message.envelope);
    this.#wish = {
      level: requireTls ? levelForRequireTls(level) : level,
      requireTls,
      ignoresPublished: message.tlsOptional === true,
    };
    this.#recipientOutcomes = new RecipientOutcomes(request.recipients);
  }

  async run(): Promise<AttemptResult> {
    const request = this.#request;
    const deps = this.#deps;
    const startedMs = deps.now();
    const damage = damageOf(request.message, request.body);
    if (damage !== undefined) {
      this.#recipientOutcomes.fail(
        deferred("local", "4.3.0", `the message is damaged: ${damage}`, startedMs),
      );
      return this.#tried(startedMs);
    }
    const source = this.#transparentSource ?? "";
    const reachabilityKey = reachabilityKeyOf(this.#nextHop, source);
    const key = connectionKey(this.#nextHop, { tls: this.#wish, helo: this.#helo, source });
    const limits = deps.limitsOf(this.#destination);
    const admission = await admit(
      { request, destination: this.#destination, limits, key, reachabilityKey },
      deps,
    );
    if (admission.kind === "full") return { ...admission, destination: this.#destination };
    if (admission.kind === "dead") {
      this.#recipientOutcomes.fail({ kind: "deferred", diagnosis: admission.diagnosis });
      return this.#tried(startedMs, true);
    }
    const { leased } = admission;
    request.begun?.();
    const begunMs = deps.now();
    this.#leased = leased;
    let reusable = false;
    const stop = () => this.stop();
    if (request.signal.aborted) this.stop();
    else request.signal.addEventListener("abort", stop);
    try {
      reusable = await this.#deliver(leased);
    } catch (error) {
      // Whatever failed here: what has been delivered must be told, or it would be delivered again.
      if (!this.#recipientOutcomes.hasFinal) throw error;
      this.#recipientOutcomes.fail(deferred("local", "4.3.0", (error as Error).message, deps.now()));
    } finally {
      request.signal.removeEventListener("abort", stop);
      this.#tellWhetherAnswered(reachabilityKey, startedMs, begunMs);
      deps.pool.release(leased, reusable);
    }
    return this.#tried(startedMs);
  }

  /** Ends what is under way: recipients without an answer are deferred. */
  stop(): void {
    this.#isStopped = true;
    this.#opening?.abort();
    this.#leased?.session?.connection.destroy("aborted", "the attempt was stopped");
  }

  /** What one attempt learns of the destination, all others need not find out for themselves. */
  #tellWhetherAnswered(reachabilityKey: string, startedMs: number, begunMs: number): void {
    const { limiter, now } = this.#deps;
    if (this.#isAnswered)
      limiter.reportAnswer(this.#destination, reachabilityKey, Math.max(1, now() - begunMs));
    else if (this.#silence !== undefined && !this.#isStopped) {
      limiter.reportNoAnswer(this.#destination, reachabilityKey, this.#silence, startedMs);
    }
  }

  /** @returns whether the session that is left may be used again */
  async #deliver(leased: LeasedConnection): Promise<boolean> {
    const usedAddresses = new Set<string>();
    let reusable = false;
    if (leased.session !== undefined) {
      const used = await this.#use(leased.session, true);
      if (used.kind === "used") usedAddresses.add(nameOf(leased.session.remote));
      reusable = used.kind === "used" && used.reusable;
      if (this.#isOver()) return reusable;
    }
    const { nextHop } = this.#request;
    for await (const deliveryAddress of deliveryAddresses(
      nextHop,
      this.#wish,
      this.#deps,
      this.#transparentSource,
    )) {
      if (this.#isStopped) break;
      if (deliveryAddress.kind === "refused") {
        this.#recipientOutcomes.fail(deliveryAddress.failure);
        this.#refetchStsPolicy();
        continue;
      }
      if (deliveryAddress.kind === "failure") {
        this.#recipientOutcomes.fail(deliveryAddress.failure);
        break;
      }
      const { remote } = deliveryAddress;
      if (usedAddresses.has(nameOf(remote))) continue;
      this.#deps.pool.endSession(leased);
      reusable = false;
      const session = await this.#open(deliveryAddress);
      if (session === undefined) continue;
      this.#deps.pool.attachSession(leased, session);
      // Stopped between the opening's end and here.
      if (this.#isStopped) session.connection.destroy("aborted", "the attempt was stopped");
      const used = await this.#use(session, false);
      reusable = used.kind === "used" && used.reusable;
      if (this.#isOver()) break;
    }
    return reusable;
  }

  async #open(deliveryAddress: DeliveryAddress): Promise<Session | undefined> {
    const { tls } = deliveryAddress;
    const session = await this.#openAs(deliveryAddress);
    if (session === undefined || tls.stsTesting === undefined) return session;
    const stsFailure = testingFailure(tls.stsTesting, session.tls);
    if (stsFailure !== undefined) session.stsFailure = stsFailure;
    return session;
  }

  async #openAs(deliveryAddress: DeliveryAddress): Promise<Session | undefined> {
    const hasPassword = authOf(this.#request.nextHop) !== undefined;
    const policy = tlsPolicy(deliveryAddress.tls, hasPassword, isLoopback(deliveryAddress.remote.address));
    const opened = await this.#openWith(deliveryAddress, policy);
    if (opened.kind === "session") return opened.session;
    if (opened.tlsFailed && policy.level === "mta-sts") this.#refetchStsPolicy();
    if (!opened.tlsFailed || !policy.fallsBack || this.#isStopped) {
      this.#recipientOutcomes.fail(this.#judgeFailure(opened));
      return undefined;
    }
    // RFC 7435 §3: rather in clear text than not at all, on a connection that the failed handshake has not touched.
    const again = await this.#openWith(deliveryAddress, clearText);
    const tlsFailure = opened.outcome.diagnosis.reason;
    const last = this.#tries.at(-1);
    if (last !== undefined) last.tlsFailure = tlsFailure;
    if (again.kind === "session") return again.session;
    this.#recipientOutcomes.fail(again.outcome);
    return undefined;
  }

  /**
   * RFC 8689 §4.2.1: a host without the TLS that REQUIRETLS asks for is passed over; after the last one the mail is
   * rejected, "Encryption needed".
   */
  #judgeFailure({ outcome, tlsFailed }: Extract<Opened, { kind: "failed" }>): Failure {
    const { diagnosis } = outcome;
    const saysLater = diagnosis.reply !== undefined && diagnosis.reply.code < 500;
    if (!tlsFailed || !this.#wish.requireTls || saysLater) return outcome;
    return { kind: "rejected", diagnosis: { ...diagnosis, status: "5.7.10", class: "5xx" } };
  }

  /** RFC 8461 §5: before mail is returned for it, the domain is asked whether it has another policy by now. */
  #refetchStsPolicy(): void {
    const { nextHop } = this.#request;
    if (nextHop.kind === "mx") this.#deps.sts.refetchPolicy(nextHop.domain);
  }

  async #openWith({ remote, isNameSure, isLast }: DeliveryAddress, policy: TlsPolicy): Promise<Opened> {
    const startedMs = this.#deps.now();
    this.#opening = new AbortController();
    const wish = {
      remote,
      localAddress: this.#sourceFor(remote.address),
      transparentSource: this.#transparentSource,
      isNameSure,
      helo: this.#helo,
      policy,
      auth: authOf(this.#request.nextHop),
      withinMs: this.#openingMs(isLast),
    };
    const opened = await openSession(wish, this.#deps, this.#opening.signal);
    const entry: AddressTry = {
      ...remote,
      reused: false,
      policy: policy.level,
      result: "",
      durationMs: 0,
    };
    this.#tries.push(entry);
    if (opened.kind === "session") this.#isAnswered = true;
    else if (opened.isSilent) this.#silence = opened.outcome.diagnosis;
    else if (opened.outcome.diagnosis.class !== "local") this.#isAnswered = true;
    if (opened.kind === "failed") {
      entry.result = opened.outcome.diagnosis.reason;
      entry.durationMs = this.#deps.now() - startedMs;
    }
    return opened;
  }

  /** Half of the time that is left, so that the next address has its turn; the last one may have all of it. */
  #openingMs(isLast: boolean): number | undefined {
    const { openByMs } = this.#request;
    if (openByMs === undefined) return undefined;
    const leftMs = Math.max(1, openByMs - this.#deps.now());
    return Math.ceil(isLast ? leftMs : leftMs / 2);
  }

  /** Sends to all that are pending, in as many transactions as the server needs. */
  async #use(
    session: Session,
    reused: boolean,
  ): Promise<{ kind: "used"; reusable: boolean } | { kind: "untouched" }> {
    const startedMs = this.#deps.now();
    let reusable = true;
    let last: Outcome | undefined;
    for (const group of this.#groups(session)) {
      if (!reusable) this.#leaveOut(group, session.remote);
      let todo = group;
      while (todo.length > 0 && reusable) {
        const report = await this.#transact(session, todo);
        // It had been closed while it was idle: as if it had never been there.
        if (report.isUntouched && reused && session.connection.disconnectReason?.kind !== "aborted") {
          return { kind: "untouched" };
        }
        for (const [index, outcome] of report.outcomes) {
          last = outcome;
          this.#recipientOutcomes.take(index, outcome);
        }
        reusable = report.isReusable;
        todo = report.tooMany;
        this.#isConcluded = report.isConcluded === true;
      }
    }
    this.#isAnswered = true;
    this.#record(session, reused, last, startedMs);
    return { kind: "used", reusable };
  }

  #transact(session: Session, recipients: number[]): Promise<TransactionReport> {
    const { message, body, drive } = this.#request;
    if (drive !== undefined) return drive(session);
    const wire = outgoingMessage(message, recipients, body, this.#hide);
    return sendStored(session, wire, recipients, this.#deps.timeouts, this.#deps.now);
  }

  #leaveOut(group: number[], remote: Remote): void {
    const reason = `the session with ${remoteName(remote)} ended before its turn`;
    const outcome = deferred("network", "4.4.2", reason, this.#deps.now(), remote);
    for (const index of group) this.#recipientOutcomes.take(index, outcome);
  }

  /** Who shares a transaction: recipients with the same NOTIFY, where the server is told (RFC 3461 §4.1). */
  #groups(session: Session): number[][] {
    const { pending } = this.#recipientOutcomes;
    const { recipients } = this.#request.message.envelope;
    const [first = 0] = pending;
    const notifyOf = (index: number) => recipients[index]?.notify?.join() ?? "as usual";
    if (!session.extensions.dsn || pending.every((index) => notifyOf(index) === notifyOf(first))) {
      return this.#byAlphabet(session, pending);
    }
    const alike = Map.groupBy(pending, notifyOf);
    return [...alike.values()].flatMap((group) => this.#byAlphabet(session, group));
  }

  /** A server without SMTPUTF8 still takes the mail for those whose addresses do not need it. */
  #byAlphabet(session: Session, pending: number[]): number[][] {
    if (session.extensions.smtpUtf8) return [pending];
    const { envelope } = this.#request.message;
    const isInternational = (index: number) => {
      const recipient = envelope.recipients[index];
      return recipient !== undefined && needsSmtpUtf8({ ...envelope, smtputf8: false }, [recipient], false);
    };
    const international = pending.filter(isInternational);
    if (international.length === 0) return [pending];
    return [pending.filter((index) => !isInternational(index)), international];
  }

  #isOver(): boolean {
    return this.#recipientOutcomes.isComplete || this.#isStopped || this.#isConcluded;
  }

  /** @param remembered  nothing was tried, since nobody answered lately */
  #tried(startedMs: number, remembered = false): AttemptResult {
    const { now } = this.#deps;
    const facts = {
      destination: this.#destination,
      tries: this.#tries,
      durationMs: now() - startedMs,
      ...(remembered ? { remembered } : {}),
    };
    return { kind: "tried", outcomes: this.#recipientOutcomes.outcomes(() => stopped(now())), facts };
  }

  #record(session: Session, reused: boolean, last: Outcome | undefined, startedMs: number): void {
    const result =
      last === undefined ? "" : last.kind === "delivered" ? replyLine(last.reply) : last.diagnosis.reason;
    const durationMs = this.#deps.now() - startedMs;
    // The opening of this session has made an entry already.
    const entry = reused ? undefined : this.#tries.at(-1);
    if (entry === undefined) {
      const { remote, policy } = session;
      this.#tries.push({ ...remote, reused, policy, result, durationMs, ...tlsOf(session) });
    } else {
      Object.assign(entry, { result, durationMs: this.#deps.now() - session.openedAtMs }, tlsOf(session));
    }
  }

  #sourceFor(address: string): string | undefined {
    const fitting = this.#deps.sourceAddresses.filter((source) => net.isIP(source) === net.isIP(address));
    return fitting[Math.floor(this.#deps.random() * fitting.length)];
  }
}

/** What a hidden delivery says in EHLO; a client that gave no sensible name must not break our session. */
function heloOf(message: MessageMeta): string | undefined {
  const helo = message.origin?.helo;
  return helo !== undefined && /^[!-~]{1,255}$/.test(helo) ? helo : undefined;
}

function authOf(nextHop: NextHop): { user: string; password: string } | undefined {
  return nextHop.kind === "relay" ? nextHop.relay.auth : undefined;
}

function tlsOf({ tls, stsFailure }: Session) {
  return { ...(tls === undefined ? {} : { tls }), ...(stsFailure === undefined ? {} : { stsFailure }) };
}

function nameOf(remote: Remote): string {
  return `${remote.address} ${remote.port}`;
}
