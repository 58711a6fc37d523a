/** One attempt at one message: session after session, until every recipient has an answer or the hosts are used up. */
import { identifyNextHop, type NextHopIdentity } from "../routing/next-hop.ts";
import { deferred, type Remote } from "../smtp/diagnose.ts";
import { unreachable } from "../unreachable.ts";
import { AddressTries } from "./address-tries.ts";
import { type AdmissionDeps, type AdmissionRequest, admit, admitAgain } from "./admission.ts";
import { AttemptEnd } from "./attempt-end.ts";
import { AttemptTransactions, type SessionUse } from "./attempt-transactions.ts";
import type { LeasedConnection } from "./connections/connection-request.ts";
import type { HostSlot, HostSlots } from "./connections/host-slots.ts";
import { type AddressDeps, deliveryAddresses } from "./next-hops/delivery-addresses.ts";
import { connectionKey, type DestinationLimits, reachabilityKeyOf } from "./next-hops/destination.ts";
import { RecipientOutcomes } from "./recipient-outcomes.ts";
import { StepLog, timeSteps } from "./session/step-log.ts";
import { SessionOpener, type SessionOpenerDeps } from "./session-opener.ts";
import { type SessionTerms, type SessionTermsDeps, sessionTerms } from "./session-terms.ts";
import type { AttemptFacts, AttemptRequest, AttemptResult } from "./smtp-client.ts";
import { damageOf } from "./transaction/stored-message.ts";

export interface AttemptDeps extends SessionOpenerDeps, SessionTermsDeps, AddressDeps, AdmissionDeps {
  sts: AddressDeps["sts"];
  limitsOf: (destination: string) => DestinationLimits;
  hostSlots: HostSlots;
  /** Counts the configurations of the process: attempts share no connections with those of another one. */
  settings: number;
}

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
  readonly #end: AttemptEnd;
  readonly #transactions: AttemptTransactions;
  #hasBegun = false;
  /** A host could not be asked, since it has all the connections that it may have; set anew for each leased connection. */
  #isHostFull = false;
  #leased: LeasedConnection | undefined;

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
    this.#end = new AttemptEnd({
      signal: request.signal,
      opener: this.#opener,
      session: () => this.#leased?.session,
    });
    this.#transactions = new AttemptTransactions(
      request,
      {
        outcomes: this.#outcomes,
        tries: this.#tries,
        steps: this.#steps,
        end: this.#end,
        facts: () => this.#facts(),
      },
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
    this.#end.stop();
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
    return this.#isHostFull && !this.#transactions.haveBegun && !this.#transactions.areOver;
  }

  async #deliverOver(leased: LeasedConnection): Promise<void> {
    const { pool, now, timeouts } = this.#deps;
    const begunMs = now();
    this.#leased = leased;
    leased.progress = this.#steps;
    this.#isHostFull = false;
    const unwatch = this.#end.watch(timeouts.attempt);
    let isReusable = false;
    try {
      isReusable = await this.#deliver(leased);
    } catch (error) {
      this.#isHostFull = false;
      // Final outcomes must be reported whatever failed here, or that mail would be delivered again.
      if (!this.#outcomes.hasFinal) throw error;
      this.#outcomes.fail(deferred("local", "4.3.0", (error as Error).message, now()));
    } finally {
      unwatch();
      this.#reportReachability(begunMs);
      if (!this.#mustWaitForHost) pool.release(leased, isReusable);
    }
  }

  /** First over the session that is open already, then host by host. @returns whether the last session may be used again */
  async #deliver(leased: LeasedConnection): Promise<boolean> {
    let use: SessionUse = "ended";
    if (this.#end.hasCome) return false;
    if (leased.session !== undefined) {
      this.#begin();
      use = await this.#transactions.sendOver(leased.session, true);
      if (use !== "untouched") this.#tried.add(addressOf(leased.session.remote));
      if (this.#transactions.areOver) return use === "reusable";
    }
    const { nextHop } = this.#request;
    const { hostSlots } = this.#deps;
    const { tls, transparentSource } = this.#terms;
    const deps = { ...this.#deps, wasTried: (remote: Remote) => this.#tried.has(addressOf(remote)) };
    const candidates = deliveryAddresses(nextHop, tls, deps, transparentSource);
    for await (const candidate of timeSteps(candidates, "dns", this.#steps, this.#deps.now)) {
      if (this.#end.hasCome) break;
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
      this.#deps.pool.attachSession(leased, opened.session);
      use = await this.#transactions.sendOver(opened.session, false, hostSlot);
      if (use === "refused") {
        this.#isHostFull = true;
        this.#tried.delete(addressOf(candidate.remote));
      }
      if (this.#transactions.areOver) break;
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
      if (!this.#end.hasCome) return taken;
      taken.release();
      return undefined;
    }
    this.#isHostFull = true;
    pool.closeIdleAt(taken.name);
    return undefined;
  }

  /** Updates the dead-destination cache, so that other attempts need not find out. */
  #reportReachability(begunMs: number): void {
    const { limiter, now } = this.#deps;
    const { limitName } = this.#nextHop;
    const { isAnswered, noAnswer } = this.#tries;
    if (isAnswered) {
      limiter.reportAnswer(limitName, this.#reachabilityKey, Math.max(1, now() - begunMs));
    } else if (noAnswer !== undefined && !this.#end.isStopped && !this.#isHostFull) {
      limiter.reportNoAnswer(limitName, this.#reachabilityKey, noAnswer, this.#startedMs);
    }
  }

  #result(more: { remembered?: true } = {}): AttemptResult {
    const outcomes = this.#outcomes.conclude(() => this.#end.failure(this.#deps.now()));
    return { kind: "tried", outcomes, facts: { ...this.#facts(), ...more } };
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

function addressOf({ address, port }: Remote): string {
  return `${address} ${port}`;
}
