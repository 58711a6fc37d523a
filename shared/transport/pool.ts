/**
 * Open sessions that wait for the next message, and the permissions to open more. It owns every session that is lent
 * out or idle; close() ends them all.
 */
import type { Connection } from "./connection.ts";
import type { DestinationLimits } from "./destination.ts";
import type { Session } from "./session.ts";
import type { Slot, Slots } from "./slots.ts";

/** How long a session waits for another message: servers dislike idle clients, and other workers may need the slot. */
const idleMs = 5000;
/** A session is not used for ever: servers move, and certificates and policies change. */
const maxAgeMs = 300_000;
/** A message waits for its turn in this process at most so long; then its job makes room for others. */
const maxWaitMs = 1000;
/** When a destination is full, its jobs come back one after another as it can take them, within these bounds. */
const minRetryMs = 500;
const maxRetryMs = 30_000;
/** Share of the newest observation in the average time that a loan takes. */
const newestShare = 0.2;

/** A slot of a destination, with an open session in it or room for one. */
export interface Loan {
  readonly key: string;
  readonly shelf: Shelf;
  readonly slot: Slot;
  session: Session | undefined;
  /** When it was lent or put back. */
  sinceMs: number;
}

export type Acquired = { kind: "loan"; loan: Loan } | { kind: "full"; retryAtMs: number; reason: string };

interface Waiter {
  key: string;
  resolve(acquired: Acquired): void;
}

/** What the pool knows of one destination. */
interface Shelf {
  destination: string;
  limits: DestinationLimits;
  idle: Loan[];
  waiters: Waiter[];
  /** Loans that are out, and requests that wait for the answer to whether there is a slot. */
  users: number;
  /** Average time of a loan; undefined until one has ended. */
  busyMs: number | undefined;
  /** Up to when returning jobs have been given their times. */
  promisedMs: number;
}

export interface PoolOptions {
  slots: Slots;
  quitTimeoutMs: number;
  now: () => number;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #shelves = new Map<string, Shelf>();
  readonly #lent = new Set<Loan>();
  readonly #quitting = new Set<Promise<void>>();
  #sweeper: NodeJS.Timeout | undefined;
  #isClosing = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * A session to go on with, or a slot to open one in. Waits for a short time when that promises to help.
   * @param key  what must be equal for a session to be shared
   */
  async acquire(
    key: string,
    destination: string,
    limits: DestinationLimits,
    signal: AbortSignal,
  ): Promise<Acquired> {
    const shelf = this.#shelf(destination, limits);
    if (this.#isClosing) return this.#full(shelf);
    const idle = takeLast(shelf.idle, key);
    if (idle !== undefined) return this.#lend(idle);
    if (shelf.waiters.length === 0) {
      const slot = await this.#takeSlot(shelf);
      if (slot !== undefined) return this.#lend({ key, shelf, slot, session: undefined, sinceMs: 0 });
    }
    if (!this.#isWorthWaiting(shelf)) return this.#full(shelf);
    return this.#wait(key, shelf, signal);
  }

  /** @param reusable  whether the session takes another transaction */
  giveBack(loan: Loan, reusable: boolean): void {
    const { shelf, session } = loan;
    const nowMs = this.#options.now();
    this.#observe(shelf, nowMs - loan.sinceMs);
    this.#lent.delete(loan);
    shelf.users--;
    const mayStay =
      reusable &&
      session !== undefined &&
      session.connection.loss === undefined &&
      session.transactions < shelf.limits.messagesPerConnection &&
      nowMs - session.openedAtMs < maxAgeMs &&
      !this.#isClosing;
    if (!mayStay) {
      this.#retire(loan);
    } else {
      const waiting = shelf.waiters.findIndex((waiter) => waiter.key === loan.key);
      const [waiter] = waiting < 0 ? [] : shelf.waiters.splice(waiting, 1);
      if (waiter !== undefined) waiter.resolve(this.#lend(loan));
      else if (shelf.waiters.length > 0) this.#retire(loan);
      else this.#putAside(loan, session, nowMs);
    }
    if (this.#isClosing && this.#lent.size === 0) this.#onEmpty?.();
    this.#forgetIdle(shelf);
  }

  /** Ends a lent session and keeps its slot, for another one. */
  dismiss(loan: Loan): void {
    const { session } = loan;
    loan.session = undefined;
    if (session !== undefined) void this.quit(session.connection);
  }

  /** Says QUIT without keeping anybody waiting; close() waits for it. */
  quit(connection: Connection): Promise<void> {
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
      for (const waiter of shelf.waiters.splice(0)) waiter.resolve(this.#full(shelf));
      for (const loan of shelf.idle.splice(0)) this.#retire(loan);
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

  async #takeSlot(shelf: Shelf): Promise<Slot | undefined> {
    const { slots } = this.#options;
    // The shelf must not be forgotten meanwhile.
    shelf.users++;
    try {
      const slot = await slots.take(shelf.destination, shelf.limits);
      if (slot !== undefined) return slot;
      // An idle session for another purpose may be in the way: its slot goes to who waits by then.
      const other = shelf.idle.shift();
      if (other !== undefined) this.#retire(other);
      return undefined;
    } finally {
      shelf.users--;
    }
  }

  #lend(loan: Loan): Extract<Acquired, { kind: "loan" }> {
    loan.sinceMs = this.#options.now();
    loan.shelf.users++;
    this.#lent.add(loan);
    if (loan.session !== undefined) loan.session.connection.onUnexpected = undefined;
    return { kind: "loan", loan };
  }

  #putAside(loan: Loan, session: Session, nowMs: number): void {
    loan.sinceMs = nowMs;
    // 421 and a closed connection are all that a server may say unasked (RFC 5321 §3.8).
    session.connection.onUnexpected = () => {
      const at = loan.shelf.idle.indexOf(loan);
      if (at < 0) return;
      loan.shelf.idle.splice(at, 1);
      this.#retire(loan);
    };
    loan.shelf.idle.push(loan);
    this.#sweeper ??= setInterval(() => this.#sweep(), 1000).unref();
  }

  #sweep(): void {
    const nowMs = this.#options.now();
    let kept = 0;
    for (const shelf of this.#shelves.values()) {
      // The longest idle ones stand first.
      while (shelf.idle[0] !== undefined && nowMs - shelf.idle[0].sinceMs >= idleMs) {
        const loan = shelf.idle.shift();
        if (loan !== undefined) this.#retire(loan);
      }
      kept += shelf.idle.length;
      this.#forgetIdle(shelf);
    }
    if (kept > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  /** The slot is free when the connection is closed: the server counts it until then. */
  #retire(loan: Loan): void {
    const { session, shelf, slot } = loan;
    const free = () => {
      slot.release();
      void this.#serve(shelf);
    };
    if (session === undefined || session.connection.loss !== undefined) free();
    else void this.quit(session.connection).then(free);
  }

  /** Gives a slot that came free to who waits first. */
  async #serve(shelf: Shelf): Promise<void> {
    if (shelf.waiters.length === 0) return;
    const slot = await this.#options.slots.take(shelf.destination, shelf.limits);
    if (slot === undefined) return;
    const waiter = shelf.waiters.shift();
    if (waiter === undefined) slot.release();
    else waiter.resolve(this.#lend({ key: waiter.key, shelf, slot, session: undefined, sinceMs: 0 }));
  }

  #wait(key: string, shelf: Shelf, signal: AbortSignal): Promise<Acquired> {
    return new Promise((resolve) => {
      const leave = () => {
        const at = shelf.waiters.indexOf(waiter);
        if (at < 0) return;
        shelf.waiters.splice(at, 1);
        this.#observe(shelf, maxWaitMs);
        waiter.resolve(this.#full(shelf));
      };
      const timer = setTimeout(leave, maxWaitMs);
      signal.addEventListener("abort", leave);
      const waiter: Waiter = {
        key,
        resolve(acquired) {
          clearTimeout(timer);
          signal.removeEventListener("abort", leave);
          resolve(acquired);
        },
      };
      shelf.waiters.push(waiter);
    });
  }

  /** Whether a session is likely to come free within the time that a message may wait. */
  #isWorthWaiting(shelf: Shelf): boolean {
    const { connections } = shelf.limits;
    if (shelf.busyMs === undefined) return shelf.waiters.length < connections;
    return ((shelf.waiters.length + 1) * shelf.busyMs) / connections <= maxWaitMs;
  }

  /** Jobs that come back at once would only be sent away again: each gets a time of its own. */
  #full(shelf: Shelf): Acquired {
    const nowMs = this.#options.now();
    const eachMs = (shelf.busyMs ?? maxWaitMs) / shelf.limits.connections;
    shelf.promisedMs = Math.max(shelf.promisedMs, nowMs + minRetryMs) + eachMs;
    if (shelf.promisedMs > nowMs + maxRetryMs) shelf.promisedMs = nowMs + minRetryMs;
    const reason = this.#isClosing
      ? "the gateway stops"
      : `${shelf.destination} has all of its ${shelf.limits.connections} connections in use`;
    return { kind: "full", retryAtMs: Math.ceil(shelf.promisedMs), reason };
  }

  #observe(shelf: Shelf, busyMs: number): void {
    shelf.busyMs = shelf.busyMs === undefined ? busyMs : shelf.busyMs + newestShare * (busyMs - shelf.busyMs);
  }

  #shelf(destination: string, limits: DestinationLimits): Shelf {
    let shelf = this.#shelves.get(destination);
    if (shelf === undefined) {
      shelf = { destination, limits, idle: [], waiters: [], users: 0, busyMs: undefined, promisedMs: 0 };
      this.#shelves.set(destination, shelf);
    }
    return shelf;
  }

  #forgetIdle(shelf: Shelf): void {
    if (shelf.idle.length > 0 || shelf.waiters.length > 0 || shelf.users > 0) return;
    // What was promised must be remembered until it is due.
    if (shelf.promisedMs > this.#options.now()) return;
    this.#shelves.delete(shelf.destination);
  }
}

function takeLast(idle: Loan[], key: string): Loan | undefined {
  for (let i = idle.length - 1; i >= 0; i--) {
    const loan = idle[i];
    if (loan?.key !== key) continue;
    idle.splice(i, 1);
    return loan;
  }
  return undefined;
}
