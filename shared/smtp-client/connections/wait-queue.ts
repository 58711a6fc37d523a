/**
 * Requests that wait for a connection to one destination: fresh mail before slow mail, each for a second at most. Owns
 * the timers of the waiters.
 */
import type { PriorityClass } from "../../limits/priority-class.ts";
import { maxWaitMs } from "./back-pressure.ts";
import type { Acquired, ConnectionRequest } from "./connection-request.ts";
import type { DestinationCapacity } from "./destination-capacity.ts";

export interface Waiter {
  readonly request: ConnectionRequest;
  resolve(acquired: Acquired | Promise<Acquired>): void;
}

export class WaitQueue {
  /** In the order in which they are served. */
  readonly #waiters: Waiter[] = [];
  readonly #pollEveryMs: () => number;
  readonly #serve: () => void;
  #poll: NodeJS.Timeout | undefined;

  /**
   * @param serve  called while some wait, `pollEveryMs()` apart: no message says that another process has made room
   */
  constructor(serve: () => void, pollEveryMs: () => number) {
    this.#serve = serve;
    this.#pollEveryMs = pollEveryMs;
  }

  get size(): number {
    return this.#waiters.length;
  }

  /** How many would be served before a request of this priority class that comes now. */
  positionFor(priorityClass: PriorityClass | undefined): number {
    if (isSlow(priorityClass) || this.#waiters.length === 0) return this.#waiters.length;
    // Fresh mail stands before slow mail.
    let position = 0;
    while (position < this.#waiters.length && !isSlow(this.#waiters[position]?.request.priorityClass))
      position++;
    return position;
  }

  /** How many would be served before a request of this priority class, of those that fulfil the condition. */
  countAhead(
    priorityClass: PriorityClass | undefined,
    condition: (request: ConnectionRequest) => boolean,
  ): number {
    const position = this.positionFor(priorityClass);
    let ahead = 0;
    for (let at = 0; at < position; at++) {
      const waiter = this.#waiters[at];
      if (waiter !== undefined && condition(waiter.request)) ahead++;
    }
    return ahead;
  }

  /** How many of this priority class wait. */
  count(priorityClass: PriorityClass | undefined): number {
    return this.#waiters.filter(({ request }) => request.priorityClass?.name === priorityClass?.name).length;
  }

  has(condition: (request: ConnectionRequest) => boolean): boolean {
    return this.#waiters.some(({ request }) => condition(request));
  }

  /** @param giveUp  the answer when the request is aborted, or has waited for too long */
  wait(request: ConnectionRequest, giveUp: () => Promise<Acquired>): Promise<Acquired> {
    const { signal } = request;
    return new Promise((resolve) => {
      const leave = () => {
        if (this.#remove(waiter)) waiter.resolve(giveUp());
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
      this.#waiters.splice(this.positionFor(request.priorityClass), 0, waiter);
      this.#startPolling();
    });
  }

  /** The first whose request fulfils the condition. It goes on waiting until it is served. */
  first(condition: (request: ConnectionRequest) => boolean): Waiter | undefined {
    return this.#waiters.find(({ request }) => condition(request));
  }

  /**
   * The waiter that goes on with a session that a message has left. Slow mail without a connection gets that of a fresh
   * message, or a destination that is always busy with fresh mail would keep it waiting for ever.
   */
  nextFor(
    { key, priorityClass }: Pick<ConnectionRequest, "key" | "priorityClass">,
    capacity: Pick<DestinationCapacity, "busy" | "hasShare">,
  ): Waiter | undefined {
    if (this.#waiters.length === 0) return undefined;
    const fits = ({ request }: Waiter): boolean => request.key === key && capacity.hasShare(request);
    // Slow mail stands last.
    if (isSlow(priorityClass) || !isSlow(this.#waiters.at(-1)?.request.priorityClass))
      return this.#waiters.find(fits);
    const isFirstSlow = ({ request }: Waiter): boolean =>
      isSlow(request.priorityClass) && capacity.busy(request.priorityClass) === 0;
    return this.#waiters.find((waiter) => isFirstSlow(waiter) && fits(waiter)) ?? this.#waiters.find(fits);
  }

  /** @returns false when the waiter has left in the meantime */
  serve(waiter: Waiter, acquired: Acquired): boolean {
    if (!this.#remove(waiter)) return false;
    waiter.resolve(acquired);
    return true;
  }

  /** Gives all waiters for these hosts the cached failure. @returns how many there were */
  failDead(reachabilityKey: string, dead: Extract<Acquired, { kind: "dead" }>): number {
    const failed = this.#waiters.filter(
      ({ request }) => request.reachabilityKey === reachabilityKey && !request.ignoreDeadCache,
    );
    for (const waiter of failed) this.serve(waiter, dead);
    return failed.length;
  }

  /** Ends all waiting with this answer. */
  close(answer: (request: ConnectionRequest) => Promise<Acquired>): void {
    clearTimeout(this.#poll);
    this.#poll = undefined;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(answer(waiter.request));
  }

  /** Polls from now on in the interval that is right now. */
  restartPolling(): void {
    clearTimeout(this.#poll);
    this.#poll = undefined;
    if (this.#waiters.length > 0) this.#startPolling();
  }

  #startPolling(): void {
    this.#poll ??= setTimeout(() => {
      this.#poll = undefined;
      if (this.#waiters.length === 0) return;
      this.#serve();
      this.#startPolling();
    }, this.#pollEveryMs());
  }

  #remove(waiter: Waiter): boolean {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return false;
    this.#waiters.splice(at, 1);
    return true;
  }
}

function isSlow(priorityClass: PriorityClass | undefined): boolean {
  return priorityClass?.isSlow === true;
}
