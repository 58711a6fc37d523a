/** What this process has leased of one destination, and what the destination's answers say. Times are milliseconds of the process' monotonic clock. */
import { Average } from "./average.ts";
import { createSlot, type Slot } from "./limiter.ts";

/** How often workers see whether others want connections of theirs; and those that have all that there are. */
const renewMs = 1_000;
const renewWithAllMs = 200;

/** What the attempts of this process have heard of the destination. */
export class AnswerHistory {
  #lastAnswerMs = Number.NEGATIVE_INFINITY;
  #lastFailureMs = Number.NEGATIVE_INFINITY;
  readonly #busyMs = new Average();

  /** @param tookMs  the whole attempt */
  answered(nowMs: number, tookMs: number): void {
    this.#lastAnswerMs = nowMs;
    this.#busyMs.observe(tookMs);
  }

  failed(nowMs: number): void {
    this.#lastFailureMs = nowMs;
  }

  get isAnswering(): boolean {
    return this.#lastAnswerMs > this.#lastFailureMs;
  }

  hasAnsweredSince(startedMs: number): boolean {
    return this.#lastAnswerMs >= startedMs;
  }

  /** As the scripts want it: -1 before the first answer. */
  msSinceAnswer(nowMs: number): number {
    return this.#lastAnswerMs < 0 ? -1 : Math.ceil(Math.max(0, nowMs - this.#lastAnswerMs));
  }

  /** How long a message takes on average, rounded up; 0: not known. */
  get busyMs(): number {
    return Math.ceil(this.#busyMs.value ?? 0);
  }
}

export class DestinationLease {
  readonly answers = new AnswerHistory();
  /** Connections that are in use here. */
  #used = 0;
  /** The most that were in use here since the last sweep. */
  #peak = 0;
  /** The same as Redis knows it; more than `#used` until a sweep finds that they are not needed. */
  #granted = 0;
  /** Requests under way. */
  #asking = 0;
  /** The destination's limit, and our fair share of it: others get what is above it as soon as they want it. */
  #connections = Number.POSITIVE_INFINITY;
  #fairShare = Number.POSITIVE_INFINITY;
  /** When the lease was renewed in Redis last, and with which average time. */
  #renewedMs: number;
  #reportedBusyMs = 0;

  constructor(nowMs: number) {
    this.#renewedMs = nowMs;
  }

  /** Connections that are in use here. */
  get used(): number {
    return this.#used;
  }

  get exceedsShare(): boolean {
    return this.#used > this.#fairShare;
  }

  /** No connection is in use or on record, and no request is under way. */
  get isUnused(): boolean {
    return this.#used + this.#granted + this.#asking === 0;
  }

  /** Whether so many connections leave room for one more. */
  hasRoom(connections: number): boolean {
    return this.#used < connections;
  }

  /** Whether a connection is free that Redis has on record as ours. What is above a fair share goes back instead. */
  get hasSpare(): boolean {
    return this.#granted > this.#used && this.#used < this.#fairShare;
  }

  /** Takes a connection into use. */
  use(): Slot {
    this.#used++;
    this.#peak = Math.max(this.#peak, this.#used);
    return createSlot(() => this.#used--);
  }

  /** A request for one more begins. @returns what to call when it has ended */
  ask(): () => void {
    this.#asking++;
    return () => this.#asking--;
  }

  /** Redis has answered a request. */
  learn(connections: number, fairShare: number): void {
    this.#connections = connections;
    this.#fairShare = fairShare;
  }

  /** Redis has one more connection on record. */
  grant(reportedBusyMs: number): Slot {
    this.#granted++;
    this.#reportedBusyMs = reportedBusyMs;
    return this.use();
  }

  /** Whether to renew the lease now: something has changed, others may want some of it, or it runs out. */
  isDue(nowMs: number, leaseMs: number): boolean {
    const hasReleased = this.#granted !== this.#keep && this.#asking === 0;
    const isFirstTime = this.#used > 0 && this.#reportedBusyMs === 0 && this.answers.busyMs > 0;
    if (hasReleased || isFirstTime) return true;
    const everyMs = Math.min(leaseMs / 3, this.#renewEveryMs(leaseMs));
    return nowMs - this.#renewedMs >= everyMs && this.#used + this.#granted > 0;
  }

  /**
   * What a renewal says; from now on it counts as said.
   * @returns connections (-1: as on record, since a request under way changes it), ms since an answer, ms for a message
   */
  report(nowMs: number): [connections: number, msSinceAnswer: number, busyMs: number] {
    this.#renewedMs = nowMs;
    this.#reportedBusyMs = this.answers.busyMs;
    const isAsking = this.#asking > 0;
    if (!isAsking) this.#granted = this.#keep;
    return [isAsking ? -1 : this.#granted, this.answers.msSinceAnswer(nowMs), this.#reportedBusyMs];
  }

  /** A sweep has ended: what is in use from now on is what the next one keeps. */
  beginInterval(): void {
    this.#peak = this.#used;
  }

  /** @param processes  how many have or want connections of the destination */
  shareWith(processes: number): void {
    this.#fairShare = Math.ceil(this.#connections / Math.max(1, processes));
  }

  /** The process ends: its connections are over. */
  abandon(): void {
    this.#used = 0;
    this.#peak = 0;
  }

  /**
   * Connections that stay on record as ours: of a busy destination, or client, one is closed and the next opened all the
   * time, and neither is to cost a question to Redis. What is above a fair share goes back at once.
   */
  get #keep(): number {
    return Math.max(this.#used, Math.min(this.#peak, this.#granted, this.#fairShare));
  }

  #renewEveryMs(leaseMs: number): number {
    // Of one connection others can have nothing.
    if (this.#used <= 1) return leaseMs;
    return this.#used >= this.#connections ? renewWithAllMs : renewMs;
  }
}
