/** The attempts of a process that have a connection, or ask for one: by destination, by phase, and how slow they are. */
import type { ConnectionPhase, PhaseCounts } from "../../limits/connection-phases.ts";
import type { ConnectionRequest, LeasedConnection } from "./connection-request.ts";
import type { DestinationState } from "./destination-state.ts";
import { leavesRoom, Paces, slowAfterMs } from "./paces.ts";

export class BusyAttempts {
  readonly #leased = new Map<LeasedConnection, DestinationState>();
  /** Requests that wait for the limiter's answer. */
  readonly #asking = new Map<ConnectionRequest, DestinationState>();
  readonly #paces = new Paces();

  /** Whether no attempt has a connection. */
  get haveNone(): boolean {
    return this.#leased.size === 0;
  }

  destinationOf(leased: LeasedConnection): DestinationState | undefined {
    return this.#leased.get(leased);
  }

  lease(leased: LeasedConnection, state: DestinationState): void {
    this.#leased.set(leased, state);
  }

  /** The attempt goes on waiting without its connection: this says nothing of the destination's pace. */
  giveUp(leased: LeasedConnection): void {
    this.#leased.delete(leased);
  }

  /** The attempt has ended. @param tookMs  how long it had its connection */
  end(leased: LeasedConnection, { name }: DestinationState, tookMs: number, nowMs: number): void {
    this.#leased.delete(leased);
    this.#paces.observe(name, tookMs, nowMs);
  }

  /** Counts the request until the answer is there. */
  ask<T>(request: ConnectionRequest, state: DestinationState, answer: Promise<T>): Promise<T> {
    this.#asking.set(request, state);
    return answer.finally(() => this.#asking.delete(request));
  }

  /** Whether the request leaves enough of its priority class to quick destinations, when slow ones take their part. */
  leavesRoom(state: DestinationState, { priorityClass }: ConnectionRequest, nowMs: number): boolean {
    if (priorityClass === undefined) return true;
    if (this.#leased.size + this.#asking.size < priorityClass.jobs / 2) return true;
    const held = new Set<DestinationState>();
    for (const [{ leasedAtMs }, of] of this.#leased) if (nowMs - leasedAtMs > slowAfterMs) held.add(of);
    const paceOf = (of: DestinationState) => (held.has(of) ? "slow" : this.#paces.of(of.name, nowMs));
    const pace = paceOf(state);
    if (pace === "quick") return true;
    const busy = { quick: 0, unknown: 0, slow: 0 };
    for (const [attempt, of] of [...this.#leased, ...this.#asking]) {
      if (attempt.priorityClass?.name === priorityClass.name) busy[paceOf(of)]++;
    }
    return leavesRoom(pace, priorityClass, busy);
  }

  /** What is done with the connections to each of these destinations now. */
  phases(destinations: Iterable<DestinationState>): Map<string, PhaseCounts> {
    const all = new Map<string, PhaseCounts>();
    const add = ({ name }: DestinationState, phase: ConnectionPhase, count = 1): void => {
      if (count === 0) return;
      const counts = all.get(name) ?? {};
      counts[phase] = (counts[phase] ?? 0) + count;
      all.set(name, counts);
    };
    for (const [{ session, progress }, state] of this.#leased) {
      add(state, session === undefined ? (progress?.phase ?? "resolving") : "transaction");
    }
    for (const state of destinations) {
      add(state, "idle", state.idle.size);
      add(state, "waiting", state.waiters.size);
      add(state, "closing", state.capacity.closing);
    }
    return all;
  }
}
