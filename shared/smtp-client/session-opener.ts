/** Opens the sessions of one attempt, address by address, with the TLS that the host's policy requires. */
import net from "node:net";
import { isLoopback } from "../net/network.ts";
import type { NextHop } from "../routing/next-hop.ts";
import type { AddressTries } from "./address-tries.ts";
import type { AddressCandidate } from "./next-hops/delivery-addresses.ts";
import { attemptStopped } from "./session/disconnect-reason.ts";
import { openSession } from "./session/open-session.ts";
import type { Opened, OpeningFailure, SessionDeps, SessionRequest } from "./session/session.ts";
import type { StepLog } from "./session/step-log.ts";
import type { SessionTerms } from "./session-terms.ts";
import { clearText, type TlsPolicy, testingFailure, tlsPolicy } from "./tls/policy.ts";
import type { StsPolicies } from "./tls/sts/policies.ts";

export interface SessionOpenerDeps extends SessionDeps {
  /** Local addresses to deliver from; empty: the system's choice. */
  sourceAddresses: string[];
  sts: Pick<StsPolicies, "refetchPolicy">;
  /** 0..1 */
  random: () => number;
}

export interface SessionOpenerOptions {
  nextHop: NextHop;
  terms: SessionTerms;
  /** When a session must be open, epoch milliseconds; absent: each opening has its own time-outs. */
  openByMs: number | undefined;
  tries: AddressTries;
  /** Gets the time of each step; absent: nobody wants to know. */
  steps?: Pick<StepLog, "add" | "enter">;
}

type DeliveryAddress = Extract<AddressCandidate, { kind: "address" }>;

export class SessionOpener {
  readonly #options: SessionOpenerOptions;
  readonly #deps: SessionOpenerDeps;
  #opening: AbortController | undefined;
  #isStopped = false;

  constructor(options: SessionOpenerOptions, deps: SessionOpenerDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Ends the opening that is under way; no other may follow. */
  stop(why = attemptStopped): void {
    this.#isStopped = true;
    this.#opening?.abort(why);
  }

  async open(address: DeliveryAddress): Promise<Opened> {
    const opened = await this.#openSecurely(address);
    const { stsTesting } = address.tls;
    if (opened.kind === "session" && stsTesting !== undefined) {
      const stsFailure = testingFailure(stsTesting, opened.session.tls);
      if (stsFailure !== undefined) opened.session.stsFailure = stsFailure;
    }
    return opened;
  }

  /** RFC 8461 §5: before mail is returned because of an MTA-STS policy, check whether the domain has a newer one. */
  refetchStsPolicy(): void {
    const { nextHop } = this.#options;
    if (nextHop.kind === "mx") this.#deps.sts.refetchPolicy(nextHop.domain);
  }

  async #openSecurely(address: DeliveryAddress): Promise<Opened> {
    const { terms, tries } = this.#options;
    const policy = tlsPolicy(address.tls, terms.auth !== undefined, isLoopback(address.remote.address));
    const opened = await this.#openWith(address, policy);
    if (opened.kind === "session") return opened;
    if (opened.tlsFailed && policy.level === "mta-sts") this.refetchStsPolicy();
    if (!opened.tlsFailed || !policy.fallsBack || this.#isStopped) {
      return this.#withoutTls(opened);
    }
    // RFC 7435 §3: clear text is better than no delivery, on a connection that the failed handshake has not touched.
    const inClear = await this.#openWith(address, clearText);
    tries.noteTlsFailure(opened.outcome.diagnosis.reason);
    return inClear;
  }

  /** From the source addresses in turn, while the fault is that of this machine: one may have no port left, or be gone. */
  async #openWith(address: DeliveryAddress, policy: TlsPolicy): Promise<Opened> {
    const { tries } = this.#options;
    const [first, ...others] = this.#sourcesFor(address.remote.address);
    const startedMs = this.#deps.now();
    const request = this.#requestFor(address, policy, first);
    let opened = await this.#openSession(request);
    let sourceFailure: string | undefined;
    for (const source of others) {
      if (opened.kind === "session" || opened.server !== "unknown" || this.#isStopped) break;
      sourceFailure = opened.outcome.diagnosis.reason;
      opened = await this.#openSession(this.#requestFor(address, policy, source));
    }
    tries.addOpening(request, opened, this.#deps.now() - startedMs);
    if (sourceFailure !== undefined) tries.noteSourceFailure(sourceFailure);
    return opened;
  }

  #openSession(request: SessionRequest): Promise<Opened> {
    this.#opening = new AbortController();
    return openSession(request, this.#deps, this.#opening.signal);
  }

  #requestFor(
    { remote, isNameSure, isLast }: DeliveryAddress,
    policy: TlsPolicy,
    localAddress: string | undefined,
  ): SessionRequest {
    const { steps } = this.#options;
    const { helo, transparentSource, auth } = this.#options.terms;
    const withinMs = this.#timeToOpen(isLast);
    return {
      remote,
      localAddress,
      transparentSource,
      isNameSure,
      helo,
      policy,
      auth,
      withinMs,
      ...(steps === undefined ? {} : { steps }),
    };
  }

  /**
   * RFC 8689 §4.2.1: a host without the TLS that REQUIRETLS asks for is skipped; after the last one the mail is rejected,
   * "Encryption needed".
   */
  #withoutTls(opened: OpeningFailure): OpeningFailure {
    const { diagnosis } = opened.outcome;
    const saysLater = diagnosis.reply !== undefined && diagnosis.reply.code < 500;
    if (!opened.tlsFailed || !this.#options.terms.tls.requireTls || saysLater) return opened;
    const rejection = { ...diagnosis, status: "5.7.10" as const, class: "5xx" as const };
    return { ...opened, outcome: { kind: "rejected", diagnosis: rejection } };
  }

  /** Half of the time that is left, so that the next address gets some; the last one may use all of it. */
  #timeToOpen(isLast: boolean): number | undefined {
    const { openByMs } = this.#options;
    if (openByMs === undefined) return undefined;
    const leftMs = Math.max(1, openByMs - this.#deps.now());
    return Math.ceil(isLast ? leftMs : leftMs / 2);
  }

  /** In the order to try them, beginning anywhere; `undefined` is the system's choice. */
  #sourcesFor(address: string): (string | undefined)[] {
    const fitting = this.#deps.sourceAddresses.filter((source) => net.isIP(source) === net.isIP(address));
    if (fitting.length === 0) return [undefined];
    const start = Math.floor(this.#deps.random() * fitting.length);
    return [...fitting.slice(start), ...fitting.slice(0, start)];
  }
}
