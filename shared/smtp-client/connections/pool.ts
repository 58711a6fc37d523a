/**
 * Connections to the servers of all destinations: a message goes on with an idle one, opens one where the limits allow,
 * or waits for a short time. The pool owns every session that is leased or idle; close() ends them all.
 */
import type { PhaseCounts } from "../../limits/connection-phases.ts";
import type { Limiter, Slot } from "../../limits/limiter.ts";
import { unreachable } from "../../unreachable.ts";
import type { SmtpConnection } from "../session/connection.ts";
import type { Session } from "../session/session.ts";
import { minRetryMs } from "./back-pressure.ts";
import { BusyAttempts } from "./busy-attempts.ts";
import type { Acquired, ConnectionRequest, LeasedConnection } from "./connection-request.ts";
import { DestinationCapacity } from "./destination-capacity.ts";
import type { DestinationState } from "./destination-state.ts";
import { IdleConnections, isReusable } from "./idle-connections.ts";
import { WaitQueue } from "./wait-queue.ts";

/** How often waiters ask for a slot again: while this process has no connection at all, and otherwise. */
const pollMs = 50;
const pollWithSomeMs = 250;
const sweepMs = 1000;

export interface PoolOptions {
  limiter: Limiter;
  quitTimeoutMs: () => number;
  /** Milliseconds of a clock that only moves forward. */
  now: () => number;
  /** The time that jobs are scheduled and sessions are opened by. */
  epochMs: () => number;
  random: () => number;
}

type Leased = Extract<Acquired, { kind: "leased" }>;

export class Pool {
  readonly #options: PoolOptions;
  readonly #destinations = new Map<string, DestinationState>();
  readonly #busy = new BusyAttempts();
  readonly #quitting = new Set<Promise<void>>();
  #sweeper: NodeJS.Timeout | undefined;
  #isClosing = false;
  #onAllReleased: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** A session to go on with, or a slot to open one in. Waits for a short time when that is likely to help. */
  acquire(request: ConnectionRequest): Promise<Acquired> | Acquired {
    const state = this.#stateOf(request);
    if (this.#isClosing) return this.#full(state, request);
    const idle = this.#leaseIdle(state, request);
    if (idle !== undefined) return idle;
    if (this.#waitersAhead(state, request) === 0 && this.#mayOpen(state, request)) {
      return this.#leaseSlot(state, request).then((acquired) => acquired ?? this.#wait(state, request));
    }
    return this.#wait(state, request);
  }

  /**
   * Gives back a slot that no host could use, and waits for an open session like the requests of a full destination.
   * @param mayWait  false: the answer is that it is full
   */
  async exchange(leased: LeasedConnection, request: ConnectionRequest, mayWait: boolean): Promise<Acquired> {
    const state = this.#stateOf(request);
    const { capacity } = state;
    this.#busy.giveUp(leased);
    capacity.release(leased, 0);
    capacity.reportHostsFull();
    this.#close(state, leased.slot, leased.session);
    if (this.#isClosing && this.#busy.haveNone) this.#onAllReleased?.();
    return mayWait && !this.#isClosing ? this.#wait(state, request) : this.#full(state, request);
  }

  /** Closes an idle connection of any destination to a host that may have no other. */
  closeIdleAt(countedAs: string): void {
    for (const { idle } of this.#destinations.values()) if (idle.closeOneAt(countedAs)) return;
  }

  /** A session was opened in the slot of this leased connection. */
  attachSession(leased: LeasedConnection, session: Session): void {
    leased.session = session;
    const state = this.#busy.destinationOf(leased);
    if (state === undefined || !state.capacity.reportAnswer()) return;
    for (let waiting = state.waiters.size; waiting > 0; waiting--) void this.#serveWaiters(state);
  }

  /** Ends the session of a leased connection and keeps the slot, for another session. */
  endSession(leased: LeasedConnection): void {
    const { session } = leased;
    leased.session = undefined;
    if (session !== undefined) void this.quit(session.connection);
  }

  /** @param reusable  whether the session takes another transaction */
  release(leased: LeasedConnection, reusable: boolean): void {
    const state = this.#busy.destinationOf(leased);
    if (state === undefined) return;
    const { slot, session } = leased;
    const { capacity } = state;
    const nowMs = this.#options.now();
    const tookMs = nowMs - leased.leasedAtMs;
    this.#busy.end(leased, state, tookMs, nowMs);
    capacity.release(leased, tookMs);
    const mayStay =
      reusable &&
      session !== undefined &&
      isReusable(session, capacity.messagesPerConnection, this.#options.epochMs()) &&
      !capacity.exceedsShare &&
      !(session.countedAs !== undefined && this.#options.limiter.exceedsShare(session.countedAs)) &&
      !this.#isClosing;
    if (mayStay) this.#passOn(state, leased, session, nowMs);
    else this.#close(state, slot, session);
    if (this.#isClosing && this.#busy.haveNone) this.#onAllReleased?.();
    this.#forgetUnused(state);
  }

  /** What is done with the connections to each destination now. */
  phases(): Map<string, PhaseCounts> {
    return this.#busy.phases(this.#destinations.values());
  }

  /** Says QUIT in the background; close() waits for it. */
  quit(connection: SmtpConnection): Promise<void> {
    const quitting = connection
      .quit(this.#options.quitTimeoutMs())
      .finally(() => this.#quitting.delete(quitting));
    this.#quitting.add(quitting);
    return quitting;
  }

  /**
   * Idle sessions quit at once, leased ones when they are released.
   * @param cutOff  called after `graceMs` when some are still leased: they must be released then
   */
  async close(graceMs: number, cutOff: () => void): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#sweeper);
    for (const state of this.#destinations.values()) {
      state.waiters.close((request) => this.#full(state, request));
      state.idle.closeAll();
    }
    if (!this.#busy.haveNone) {
      const timer = setTimeout(cutOff, graceMs);
      await new Promise<void>((resolve) => {
        this.#onAllReleased = resolve;
      });
      clearTimeout(timer);
    }
    await Promise.all(this.#quitting);
  }

  #mayOpen(state: DestinationState, request: ConnectionRequest): boolean {
    return state.capacity.mayOpen(request) && this.#busy.leavesRoom(state, request, this.#options.now());
  }

  /** Waiters of a client that has its share do not stand in the way of others. */
  #waitersAhead(
    { waiters, capacity }: DestinationState,
    { priorityClass, client }: ConnectionRequest,
  ): number {
    if (waiters.size === 0) return 0;
    return waiters.countAhead(
      priorityClass,
      (waiting) => waiting.client?.name === client?.name || capacity.hasClientShare(waiting.client),
    );
  }

  #wait(state: DestinationState, request: ConnectionRequest): Promise<Acquired> {
    const { waiters, capacity } = state;
    const { priorityClass } = request;
    const ahead = this.#waitersAhead(state, request);
    const waitingAlike = () => waiters.count(priorityClass);
    if (!capacity.isWorthWaiting(priorityClass, ahead, waitingAlike)) return this.#full(state, request);
    return waiters.wait(request, () => {
      capacity.reportVainWait();
      return this.#full(state, request);
    });
  }

  /** Hands an open session to the next waiter, or keeps it for a while where no message waits. */
  #passOn(
    state: DestinationState,
    { key, slot, priorityClass }: LeasedConnection,
    session: Session,
    nowMs: number,
  ): void {
    const { idle, waiters, capacity } = state;
    const next = waiters.nextFor({ key, priorityClass }, capacity);
    if (next !== undefined) {
      waiters.serve(next, this.#leaseSession(state, next.request, slot, session));
    } else if (waiters.has((request) => capacity.hasShare(request))) {
      // These wait for another kind of session, and the slot is theirs.
      this.#close(state, slot, session);
    } else {
      idle.add({ key, slot, session, sinceMs: nowMs });
      this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs).unref();
    }
  }

  /** Hands freed connections to waiters in order. Waiters for a dead destination get the cached failure. */
  async #serveWaiters(state: DestinationState): Promise<void> {
    const { waiters } = state;
    for (;;) {
      const first = waiters.first((request) => this.#mayOpen(state, request));
      if (first === undefined) return;
      // One may be idle: it was left to fresh mail while slow mail had all of its share.
      const acquired = this.#leaseIdle(state, first.request) ?? (await this.#leaseSlot(state, first.request));
      if (acquired === undefined) return;
      if (acquired.kind === "leased") {
        // The waiter may have left in the meantime; then the slot is free again, and the next one may ask for it.
        if (!waiters.serve(first, acquired)) this.release(acquired.leased, false);
        return;
      }
      if (waiters.failDead(first.request.reachabilityKey, acquired) === 0) return;
    }
  }

  /** Where the request's priority class may have one more connection. */
  #leaseIdle(state: DestinationState, request: ConnectionRequest): Leased | undefined {
    const idle = state.capacity.hasShare(request) ? state.idle.take(request.key) : undefined;
    return idle && this.#leaseSession(state, request, idle.slot, idle.session);
  }

  /** @returns `undefined` when the destination has all that it may have */
  async #leaseSlot(
    state: DestinationState,
    request: ConnectionRequest,
  ): Promise<Exclude<Acquired, { kind: "full" }> | undefined> {
    const { idle, waiters, capacity } = state;
    const answer = await this.#busy.ask(request, state, capacity.takeSlot(request));
    switch (answer.kind) {
      case "slot":
        return this.#lease(state, request, answer.slot, undefined);
      case "dead":
        return answer;
      case "full":
        // Waiters that expected a connection of ours now depend on other processes.
        if (capacity.isUnused) waiters.restartPolling();
        // An idle session of another kind may have the last slot, which is for the waiters then.
        idle.closeOldest();
        return undefined;
      default:
        return unreachable(answer);
    }
  }

  #leaseSession(state: DestinationState, request: ConnectionRequest, slot: Slot, session: Session): Leased {
    state.capacity.lease(request);
    return this.#lease(state, request, slot, session);
  }

  #lease(
    state: DestinationState,
    { key, priorityClass, client }: ConnectionRequest,
    slot: Slot,
    session: Session | undefined,
  ): Leased {
    const leasedAtMs = this.#options.now();
    const leased = { key, slot, priorityClass, ...(client && { client }), leasedAtMs, session };
    this.#busy.lease(leased, state);
    return { kind: "leased", leased };
  }

  /** The slot is free when the connection is closed: the server counts it until then. */
  #close(state: DestinationState, slot: Slot, session: Session | undefined): void {
    const closed = state.capacity.close();
    const free = () => {
      closed();
      slot.release();
      void this.#serveWaiters(state);
    };
    if (session === undefined || session.connection.disconnectReason !== undefined) free();
    else void this.quit(session.connection).then(free);
  }

  #sweep(): void {
    const nowMs = this.#options.now();
    let kept = 0;
    for (const state of this.#destinations.values()) {
      state.idle.closeExpired(nowMs);
      kept += state.idle.size;
      this.#forgetUnused(state);
    }
    if (kept > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  async #full(state: DestinationState, request: ConnectionRequest): Promise<Acquired> {
    if (!this.#isClosing) {
      const full = await state.capacity.full(request.retryQueue);
      if (this.#busy.leavesRoom(state, request, this.#options.now())) return full;
      return { ...full, reason: "slow destinations have the part of this worker that they may have" };
    }
    const retryAtMs = this.#options.epochMs() + minRetryMs;
    return { kind: "full", retryAtMs, reason: "the gateway stops" };
  }

  #stateOf({ destination: name, limits }: ConnectionRequest): DestinationState {
    const known = this.#destinations.get(name);
    if (known !== undefined) {
      known.capacity.limits = limits;
      return known;
    }
    const capacity = new DestinationCapacity(name, limits, this.#options);
    const state: DestinationState = {
      name,
      idle: new IdleConnections(({ slot, session }) => this.#close(state, slot, session)),
      waiters: new WaitQueue(
        () => void this.#serveWaiters(state),
        () => (capacity.isUnused ? pollMs : pollWithSomeMs),
      ),
      capacity,
    };
    this.#destinations.set(name, state);
    return state;
  }

  #forgetUnused({ name, idle, waiters, capacity }: DestinationState): void {
    if (idle.size === 0 && waiters.size === 0 && capacity.isUnused) this.#destinations.delete(name);
  }
}
