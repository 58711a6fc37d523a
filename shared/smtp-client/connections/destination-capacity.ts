/**
 * What one destination may have in this process: its slots, the shares of the priority classes, and how long it keeps a
 * connection busy, from which follows when requests that get none should come back.
 */
import { Average } from "../../limits/average.ts";
import type { Limiter, SlotAnswer } from "../../limits/limiter.ts";
import { BusyJobs, type PriorityClass } from "../../limits/priority-class.ts";
import type { DestinationLimits } from "../next-hops/destination.ts";
import { isWorthWaiting, maxWaitMs, retryTime } from "./back-pressure.ts";
import type { ConnectionRequest, WaitingClient } from "./connection-request.ts";

/** A message is taken to last so long where other processes have all connections and have not reported yet. */
const guessedBusyMs = 200;
/** A destination that has not answered yet gets so few connections at once: it may not be there at all. */
const firstConnections = 5;
/** Whose connection it is, or is to be. */
type ConnectionUser = Pick<ConnectionRequest, "priorityClass" | "client">;

/** Hosts that have all the connections that they may have are not asked again for so long. */
const hostsFullMs = 500;

export interface CapacityDeps {
  limiter: Limiter;
  /** Milliseconds of a clock that only moves forward. */
  now: () => number;
  /** The time that jobs are scheduled by. */
  epochMs: () => number;
  /** 0..1 */
  random: () => number;
}

export class DestinationCapacity {
  /** Those of the last request: a reload of the configuration may change them. */
  limits: DestinationLimits;
  readonly #destination: string;
  readonly #deps: CapacityDeps;
  /** Jobs that have a connection, and jobs that wait for the limiter's answer to their request for a slot. */
  readonly #leasing = new BusyJobs();
  readonly #asking = new BusyJobs();
  /** The same with the jobs that have no priority class. */
  #users = 0;
  /** The same by client. */
  readonly #clients = new Map<string, number>();
  /** Connections that are being closed: they have their slots until they are. */
  #closing = 0;
  #hasAnswered = false;
  #hostsFullUntilMs = 0;
  /** When the destination became known to this process, or answered first. */
  #knownSinceMs: number;
  /** How long a message keeps a connection busy. */
  readonly #busyMs = new Average();
  /** The same in other processes, as of when they had all slots. */
  #othersBusyMs: number | undefined;

  constructor(destination: string, limits: DestinationLimits, deps: CapacityDeps) {
    this.#destination = destination;
    this.limits = limits;
    this.#deps = deps;
    this.#knownSinceMs = deps.now();
  }

  /** This process has no connection to the destination, and is not asking for one. */
  get isUnused(): boolean {
    return this.#users + this.#closing === 0;
  }

  /** Whether other processes have less than their share: a connection that its message leaves is to be closed. */
  get exceedsShare(): boolean {
    return this.#deps.limiter.exceedsShare(this.#destination);
  }

  /** Connections that wait for the server's reply to QUIT. */
  get closing(): number {
    return this.#closing;
  }

  get messagesPerConnection(): number {
    return this.limits.messagesPerConnection;
  }

  /** How many connections a priority class has in this process. */
  busy(priorityClass: PriorityClass | undefined): number {
    return this.#leasing.count(priorityClass);
  }

  /** Whether the request's priority class, and its client, have less than their shares. */
  hasShare({ priorityClass, share, client }: ConnectionUser & Pick<ConnectionRequest, "share">): boolean {
    return this.busy(priorityClass) < share && this.hasClientShare(client);
  }

  hasClientShare(client: WaitingClient | undefined): boolean {
    return client === undefined || (this.#clients.get(client.name) ?? 0) < client.share;
  }

  /** Whether the request may ask for a slot. */
  mayOpen(request: ConnectionUser & Pick<ConnectionRequest, "share">): boolean {
    if (!this.#hasAnswered && this.#users >= firstConnections) return false;
    if (this.#deps.now() < this.#hostsFullUntilMs) return false;
    const { priorityClass } = request;
    const asking = this.#asking.count(priorityClass);
    return this.#leasing.hasRoom(priorityClass, asking + 1) && this.hasShare(request);
  }

  /** Asks the limiter for a slot. Meanwhile, and when it gets one, the request counts like one that has a connection. */
  async takeSlot(request: ConnectionRequest): Promise<SlotAnswer> {
    const { destination, reachabilityKey, share, ignoreDeadCache, priorityClass } = request;
    const { connections } = this.limits;
    let answer: SlotAnswer;
    this.#countUser(request.client, 1);
    this.#asking.enter(priorityClass);
    try {
      answer = await this.#deps.limiter.takeSlot({
        destination,
        connections,
        share,
        reachabilityKey,
        ignoreDeadCache,
      });
    } finally {
      this.#countUser(request.client, -1);
      this.#asking.leave(priorityClass);
    }
    if (answer.kind === "slot") this.lease(request);
    else if (answer.kind === "full") this.#othersBusyMs = answer.busyMs ?? guessedBusyMs;
    return answer;
  }

  /** A job goes on with a connection that is open. */
  lease({ priorityClass, client }: ConnectionUser): void {
    this.#countUser(client, 1);
    this.#leasing.enter(priorityClass);
  }

  /** @param tookMs  how long the job had the connection */
  release({ priorityClass, client }: ConnectionUser, tookMs: number): void {
    this.#countUser(client, -1);
    this.#leasing.leave(priorityClass);
    if (tookMs > 0) this.#busyMs.observe(tookMs);
  }

  #countUser(client: WaitingClient | undefined, change: 1 | -1): void {
    this.#users += change;
    if (client === undefined) return;
    const count = (this.#clients.get(client.name) ?? 0) + change;
    if (count > 0) this.#clients.set(client.name, count);
    else this.#clients.delete(client.name);
  }

  /** The slot is of no use now: no host that could be dialled may have another connection. */
  reportHostsFull(): void {
    this.#hostsFullUntilMs = this.#deps.now() + hostsFullMs;
  }

  /** A connection is being closed. @returns what to call when it is */
  close(): () => void {
    this.#closing++;
    return () => this.#closing--;
  }

  /** A session was opened. @returns whether it is the first: now the destination may have more connections */
  reportAnswer(): boolean {
    if (this.#hasAnswered) return false;
    this.#hasAnswered = true;
    this.#knownSinceMs = this.#deps.now();
    return true;
  }

  /** A request has waited for as long as it may. */
  reportVainWait(): void {
    if (this.#hasAnswered) this.#busyMs.observe(maxWaitMs);
  }

  /**
   * Whether a connection is likely to come free within the time that a request may wait.
   * @param ahead         how many requests would be served before
   * @param waitingAlike  how many of its priority class wait already
   */
  isWorthWaiting(
    priorityClass: PriorityClass | undefined,
    ahead: number,
    waitingAlike: () => number,
  ): boolean {
    const { connections } = this.limits;
    const load = {
      connections,
      ours: Math.min(this.#users + this.#closing, connections),
      waiting: ahead,
      busyMs: this.#busyMs.value,
      othersBusyMs: this.#othersBusyMs,
    };
    return isWorthWaiting(load, () => this.#leasing.hasRoom(priorityClass, waitingAlike() + 1));
  }

  /** When a job comes back that got no connection (epoch milliseconds), and the reason. */
  async full(retryQueue: string): Promise<{ kind: "full"; retryAtMs: number; reason: string }> {
    const { limiter, now, epochMs, random } = this.#deps;
    const { connections } = this.limits;
    const load = { connections, busyMs: this.#busyMs.value, othersBusyMs: this.#othersBusyMs };
    const retry = retryTime(load, now() - this.#knownSinceMs);
    const retryAtMs =
      retry.kind === "slot"
        ? await limiter.takeRetrySlot(retryQueue, retry)
        : Math.ceil(epochMs() + retry.earliestMs + (retry.latestMs - retry.earliestMs) * random());
    const reason = `${this.#destination} has all of its ${connections} connections in use`;
    return { kind: "full", retryAtMs, reason };
  }
}
