/**
 * Open sessions that wait for the next message, and the permissions to open more. It owns every session that is lent
 * out or idle; close() ends them all.
 */

import type { Limiter, Slot, SlotAnswer } from "../../limits/limiter.ts";
import { type PriorityClass, QueueShares } from "../../limits/queue-shares.ts";
import type { Diagnosis } from "../../smtp/diagnosis.ts";
import type { DestinationLimits } from "../next-hops/destination.ts";
import type { SmtpConnection } from "../session/connection.ts";
import type { Session } from "../session/session.ts";
import { isWorthWaiting, maxWaitMs, minRetryMs, returnOf } from "./back-pressure.ts";
import { hasShare, heirOf, placeOf } from "./wait-queue.ts";

/** How long a session waits for another message: servers dislike idle clients, and other workers may need the slot. */
const idleMs = 5000;
/** A session is not used for ever: servers move, and certificates and policies change. */
const maxAgeMs = 300_000;
/** A message takes so long where others have all connections, so that it lives, and have not told yet. */
const guessedBusyMs = 200;
/** A destination that has not answered yet is asked on so few connections at once: it may not be there at all. */
const firstOpenings = 5;
/** How often it is seen whether other processes have made room: while we have no connection at all, and otherwise. */
const pollMs = 50;
const pollWithSomeMs = 250;
/** Share of the newest observation in the average time that a loan takes. */
const newestShare = 0.2;

/** A slot of a destination, with an open session in it or room for one. */
export interface LeasedConnection {
  key: string;
  readonly shelf: Shelf;
  readonly slot: Slot;
  session: Session | undefined;
  /** Whose jobs have it. */
  priorityClass: PriorityClass | undefined;
  /** When it was lent or put back. */
  sinceMs: number;
}

export type Acquired =
  | { kind: "leased"; leased: LeasedConnection }
  | { kind: "full"; retryAtMs: number; reason: string }
  /** No host answered lately: how that attempt ended. */
  | { kind: "dead"; diagnosis: Diagnosis };

/** What is wanted of the pool. */
export interface ConnectionRequest {
  /** What must be equal for a session to be shared. */
  key: string;
  destination: string;
  /** As reachabilityKeyOf() names it. */
  reachabilityKey: string;
  limits: DestinationLimits;
  /** Of the destination's connections, as many as its lane may have. */
  share: number;
  /** Ask even where nobody answered lately. */
  ignoreDeadCache: boolean;
  priorityClass: PriorityClass | undefined;
  /** The line that it stands in when the destination is full. */
  retryQueue: string;
  signal: AbortSignal;
}

interface Waiter {
  request: ConnectionRequest;
  resolve(acquired: Acquired | Promise<Acquired>): void;
}

/** What the pool knows of one destination. */
interface Shelf {
  destination: string;
  limits: DestinationLimits;
  idle: LeasedConnection[];
  waiters: Waiter[];
  /** Loans that are out, and requests that wait for the answer to whether there is a slot. */
  users: number;
  /** Loans that are over, and whose connection is not closed yet. */
  leaving: number;
  /** A session was opened since it is known here. */
  isProven: boolean;
  /** When it became known here, or was proven. */
  knownSinceMs: number;
  /** Average time of a loan; undefined until one has ended. */
  busyMs: number | undefined;
  /** The same of other processes, as of when they had all slots. */
  othersBusyMs: number | undefined;
  /** While some wait: other processes may make room, and nobody tells. */
  poll: NodeJS.Timeout | undefined;
}

export interface PoolOptions {
  limiter: Limiter;
  quitTimeoutMs: number;
  now: () => number;
  random: () => number;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #shelves = new Map<string, Shelf>();
  readonly #lent = new Set<LeasedConnection>();
  readonly #queueShares = new QueueShares();
  /** Those who wait for the answer to whether there is a slot. */
  readonly #asking = new QueueShares();
  readonly #quitting = new Set<Promise<void>>();
  #sweeper: NodeJS.Timeout | undefined;
  #isClosing = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** A session to go on with, or a slot to open one in. Waits for a short time when that promises to help. */
  async acquire(request: ConnectionRequest): Promise<Acquired> {
    const shelf = this.#shelf(request.destination, request.limits);
    if (this.#isClosing) return this.#full(shelf, request);
    const idle = this.#takeIdle(shelf, request);
    if (idle !== undefined) return this.#lend(idle, request);
    if (placeOf(shelf.waiters, request.priorityClass) === 0 && this.#mayOpen(shelf, request)) {
      const acquired = await this.#takeSlot(shelf, request);
      if (acquired !== undefined) return acquired;
    }
    if (!this.#isWorthWaiting(shelf, request)) return this.#full(shelf, request);
    return this.#wait(shelf, request);
  }

  /** A session was opened in the slot: the destination answers, and may have more connections. */
  attachSession(leased: LeasedConnection, session: Session): void {
    const { shelf } = leased;
    leased.session = session;
    if (shelf.isProven) return;
    shelf.isProven = true;
    shelf.knownSinceMs = this.#options.now();
    for (let waiting = shelf.waiters.length; waiting > 0; waiting--) void this.#serve(shelf);
  }

  /** @param reusable  whether the session takes another transaction */
  release(leased: LeasedConnection, reusable: boolean): void {
    const { shelf, session } = leased;
    const busyOf = this.#busyOf(shelf);
    const nowMs = this.#options.now();
    if (nowMs > leased.sinceMs) this.#observe(shelf, nowMs - leased.sinceMs);
    this.#lent.delete(leased);
    this.#queueShares.leave(leased.priorityClass, shelf.destination);
    shelf.users--;
    const mayStay =
      reusable &&
      session?.connection.isInStep &&
      session.transactions < shelf.limits.messagesPerConnection &&
      nowMs - session.openedAtMs < maxAgeMs &&
      !this.#options.limiter.exceedsShare(shelf.destination) &&
      !this.#isClosing;
    if (!mayStay) {
      this.#retire(leased);
    } else {
      const heir = heirOf(shelf.waiters, leased, busyOf);
      if (heir !== undefined) {
        shelf.waiters.splice(shelf.waiters.indexOf(heir), 1);
        heir.resolve(this.#lend(leased, heir.request));
      } else if (shelf.waiters.some(({ request }) => hasShare(request, busyOf))) this.#retire(leased);
      else this.#putAside(leased, session, nowMs);
    }
    if (this.#isClosing && this.#lent.size === 0) this.#onEmpty?.();
    this.#forgetIdle(shelf);
  }

  /** Ends a lent session and keeps its slot, for another one. */
  endSession(leased: LeasedConnection): void {
    const { session } = leased;
    leased.session = undefined;
    if (session !== undefined) void this.quit(session.connection);
  }

  /** Says QUIT without keeping anybody waiting; close() waits for it. */
  quit(connection: SmtpConnection): Promise<void> {
    const quitting = connection
      .quit(this.#options.quitTimeoutMs)
      .finally(() => this.#quitting.delete(quitting));
    this.#quitting.add(quitting);
    return quitting;
  }

  /**
   * Idle sessions quit at once, lent ones when they come back.
   * @param cutOff  called after `graceMs` when some are still lent: they must come back then
   */
  async close(graceMs: number, cutOff: () => void): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#sweeper);
    for (const shelf of this.#shelves.values()) {
      for (const waiter of shelf.waiters.splice(0)) waiter.resolve(this.#full(shelf, waiter.request));
      for (const leased of shelf.idle.splice(0)) this.#retire(leased);
    }
    if (this.#lent.size > 0) {
      const timer = setTimeout(cutOff, graceMs);
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
      clearTimeout(timer);
    }
    await Promise.all(this.#quitting);
  }

  /** The one that was used last, where the wish may have one more. */
  #takeIdle(shelf: Shelf, request: ConnectionRequest): LeasedConnection | undefined {
    if (!hasShare(request, this.#busyOf(shelf))) return undefined;
    for (;;) {
      const at = shelf.idle.findLastIndex((leased) => leased.key === request.key);
      if (at < 0) return undefined;
      const [leased] = shelf.idle.splice(at, 1);
      if (leased?.session?.connection.isInStep) return leased;
      // The beginning of a reply that nobody asked for has come.
      if (leased !== undefined) this.#retire(leased);
    }
  }

  /** @returns `undefined` when the destination has all that it may have */
  async #takeSlot(
    shelf: Shelf,
    request: ConnectionRequest,
  ): Promise<Extract<Acquired, { kind: "leased" | "dead" }> | undefined> {
    const { key, destination, reachabilityKey, share, ignoreDeadCache, priorityClass } = request;
    const { connections } = shelf.limits;
    // The shelf must not be forgotten meanwhile, and who asks too must see that this place in the lane is spoken for.
    shelf.users++;
    this.#asking.enter(priorityClass, destination);
    let taken: SlotAnswer;
    try {
      taken = await this.#options.limiter.takeSlot({
        destination,
        connections,
        share,
        reachabilityKey,
        ignoreDeadCache,
      });
    } finally {
      shelf.users--;
      this.#asking.leave(priorityClass, destination);
    }
    if (taken.kind === "slot") {
      const leased: LeasedConnection = {
        key,
        shelf,
        slot: taken.slot,
        session: undefined,
        priorityClass: undefined,
        sinceMs: 0,
      };
      return this.#lend(leased, request);
    }
    if (taken.kind === "dead") return taken;
    shelf.othersBusyMs = taken.busyMs ?? guessedBusyMs;
    if (shelf.users + shelf.leaving === 0 && shelf.waiters.length > 0) {
      // Those who wait thought that we would get some.
      clearTimeout(shelf.poll);
      shelf.poll = undefined;
      this.#poll(shelf);
    }
    // An idle session for another purpose may be in the way: its slot goes to who waits by then.
    const other = shelf.idle.shift();
    if (other !== undefined) this.#retire(other);
    return undefined;
  }

  #lend(
    leased: LeasedConnection,
    { key, priorityClass }: ConnectionRequest,
  ): Extract<Acquired, { kind: "leased" }> {
    leased.key = key;
    leased.priorityClass = priorityClass;
    this.#queueShares.enter(priorityClass, leased.shelf.destination);
    leased.sinceMs = this.#options.now();
    leased.shelf.users++;
    this.#lent.add(leased);
    if (leased.session !== undefined) leased.session.connection.onUnexpected = undefined;
    return { kind: "leased", leased };
  }

  #putAside(leased: LeasedConnection, session: Session, nowMs: number): void {
    leased.sinceMs = nowMs;
    // 421 and a closed connection are all that a server may say unasked (RFC 5321 §3.8).
    session.connection.onUnexpected = () => {
      const at = leased.shelf.idle.indexOf(leased);
      if (at < 0) return;
      leased.shelf.idle.splice(at, 1);
      this.#retire(leased);
    };
    leased.shelf.idle.push(leased);
    this.#sweeper ??= setInterval(() => this.#sweep(), 1000).unref();
  }

  #sweep(): void {
    const nowMs = this.#options.now();
    let kept = 0;
    for (const shelf of this.#shelves.values()) {
      // The longest idle ones stand first.
      while (shelf.idle[0] !== undefined && nowMs - shelf.idle[0].sinceMs >= idleMs) {
        const leased = shelf.idle.shift();
        if (leased !== undefined) this.#retire(leased);
      }
      kept += shelf.idle.length;
      this.#forgetIdle(shelf);
    }
    if (kept > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  /** The slot is free when the connection is closed: the server counts it until then. */
  #retire(leased: LeasedConnection): void {
    const { session, shelf, slot } = leased;
    shelf.leaving++;
    const free = () => {
      shelf.leaving--;
      slot.release();
      void this.#serve(shelf);
    };
    if (session === undefined || session.connection.disconnectReason !== undefined) free();
    else void this.quit(session.connection).then(free);
  }

  /** Gives what came free to who waits first; who waits for hosts that do not answer is told so. */
  async #serve(shelf: Shelf): Promise<void> {
    for (;;) {
      const first = shelf.waiters.find(({ request }) => this.#mayOpen(shelf, request));
      if (first === undefined) return;
      // One that was left to fresh mail while slow mail had all of its part.
      const idle = this.#takeIdle(shelf, first.request);
      const acquired =
        idle === undefined ? await this.#takeSlot(shelf, first.request) : this.#lend(idle, first.request);
      if (acquired === undefined) return;
      if (acquired.kind === "dead") {
        const { reachabilityKey } = first.request;
        const told = shelf.waiters.filter(
          ({ request }) => request.reachabilityKey === reachabilityKey && !request.ignoreDeadCache,
        );
        if (told.length === 0) return;
        shelf.waiters = shelf.waiters.filter((waiter) => !told.includes(waiter));
        for (const waiter of told) waiter.resolve(acquired);
        continue;
      }
      // Who asked may have left meanwhile; then the slot is free again, and the next in line may ask for it.
      const at = shelf.waiters.indexOf(first);
      if (at < 0) {
        this.release(acquired.leased, false);
        return;
      }
      shelf.waiters.splice(at, 1);
      first.resolve(acquired);
      return;
    }
  }

  #wait(shelf: Shelf, request: ConnectionRequest): Promise<Acquired> {
    const { signal } = request;
    return new Promise((resolve) => {
      const leave = () => {
        const at = shelf.waiters.indexOf(waiter);
        if (at < 0) return;
        shelf.waiters.splice(at, 1);
        if (shelf.isProven) this.#observe(shelf, maxWaitMs);
        waiter.resolve(this.#full(shelf, request));
      };
      const timer = setTimeout(leave, maxWaitMs);
      signal.addEventListener("abort", leave);
      const waiter: Waiter = {
        request,
        resolve(acquired) {
          clearTimeout(timer);
          signal.removeEventListener("abort", leave);
          resolve(acquired);
        },
      };
      shelf.waiters.splice(placeOf(shelf.waiters, request.priorityClass), 0, waiter);
      this.#poll(shelf);
    });
  }

  #poll(shelf: Shelf): void {
    const everyMs = shelf.users + shelf.leaving === 0 ? pollMs : pollWithSomeMs;
    shelf.poll ??= setTimeout(() => {
      shelf.poll = undefined;
      if (shelf.waiters.length === 0) return;
      void this.#serve(shelf);
      this.#poll(shelf);
    }, everyMs);
  }

  #mayOpen(shelf: Shelf, request: ConnectionRequest): boolean {
    if (!shelf.isProven && shelf.users >= firstOpenings) return false;
    const asking = this.#asking.busy(request.priorityClass, shelf.destination);
    return (
      this.#queueShares.hasRoom(request.priorityClass, shelf.destination, asking + 1) &&
      hasShare(request, this.#busyOf(shelf))
    );
  }

  #busyOf({ destination }: Shelf): (priorityClass: PriorityClass | undefined) => number {
    return (priorityClass) => this.#queueShares.busy(priorityClass, destination);
  }

  #isWorthWaiting(shelf: Shelf, { priorityClass }: ConnectionRequest): boolean {
    const { waiters, busyMs, othersBusyMs } = shelf;
    const { connections } = shelf.limits;
    const ours = Math.min(shelf.users + shelf.leaving, connections);
    const waiting = placeOf(waiters, priorityClass);
    return isWorthWaiting({ connections, ours, waiting, busyMs, othersBusyMs }, () => {
      const ofClass = waiters.filter(
        ({ request }) => request.priorityClass?.name === priorityClass?.name,
      ).length;
      return this.#queueShares.hasRoom(priorityClass, shelf.destination, ofClass + 1);
    });
  }

  /** Jobs that come back at once would only be sent away again: each gets a time of its own. */
  async #full(shelf: Shelf, { retryQueue }: ConnectionRequest): Promise<Acquired> {
    const { limiter, now, random } = this.#options;
    if (this.#isClosing) return { kind: "full", retryAtMs: now() + minRetryMs, reason: "the gateway stops" };
    const { busyMs, othersBusyMs } = shelf;
    const { connections } = shelf.limits;
    const back = returnOf({ connections, busyMs, othersBusyMs }, now() - shelf.knownSinceMs);
    const retryAtMs =
      back.kind === "turn"
        ? await limiter.takeRetrySlot(retryQueue, back)
        : Math.ceil(now() + back.earliestMs + (back.latestMs - back.earliestMs) * random());
    const reason = `${shelf.destination} has all of its ${connections} connections in use`;
    return { kind: "full", retryAtMs, reason };
  }

  #observe(shelf: Shelf, busyMs: number): void {
    shelf.busyMs = shelf.busyMs === undefined ? busyMs : shelf.busyMs + newestShare * (busyMs - shelf.busyMs);
  }

  #shelf(destination: string, limits: DestinationLimits): Shelf {
    let shelf = this.#shelves.get(destination);
    if (shelf === undefined) {
      shelf = {
        destination,
        limits,
        idle: [],
        waiters: [],
        users: 0,
        leaving: 0,
        isProven: false,
        knownSinceMs: this.#options.now(),
        busyMs: undefined,
        othersBusyMs: undefined,
        poll: undefined,
      };
      this.#shelves.set(destination, shelf);
    }
    return shelf;
  }

  #forgetIdle(shelf: Shelf): void {
    if (shelf.idle.length > 0 || shelf.waiters.length > 0 || shelf.users > 0 || shelf.leaving > 0) return;
    this.#shelves.delete(shelf.destination);
  }
}
