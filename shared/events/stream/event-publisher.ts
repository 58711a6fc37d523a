/**
 * Appends the events of a process to the stream, in batches in the background. Mail never waits for it, and never fails by
 * it: what does not fit into its memory is dropped and counted. It owns its connection to Redis and a timer; close() ends
 * both.
 */
import type { EventFields, EventSink, Logger } from "../../runtime/log.ts";
import type { Metrics, Tally } from "../../runtime/metrics.ts";
import { createRedis, queuePrefix, type RedisConfig, type RedisConnection } from "../../runtime/redis.ts";
import { settlesWithin } from "../../runtime/with-timeout.ts";
import { encodeEvent, fateOf, wordsOf } from "../event.ts";
import { appendEvents, dropOlderHalf, newShardExpiries, type Retention } from "./append.ts";
import { EventBatch } from "./event-batch.ts";
import { createEventMetrics } from "./event-metrics.ts";
import { type EventKeys, eventKeys } from "./keys.ts";

export interface EventPublisher extends EventSink {
  /** Appends what waits, within a second at most. */
  close(): Promise<void>;
}

export interface EventPublisherOptions {
  redis: RedisConfig;
  log: Logger;
  /** `events` of the configuration. With 0 in either of them nothing is kept. */
  events: { keep: number; max: number };
  metrics?: Metrics | undefined;
  /** Of the keys; absent: that of the queues. */
  prefix?: string;
  /** Between batches. */
  intervalMs?: number;
  /** Of what waits: events, and octets of them. */
  limit?: { events: number; octets: number };
  /** How often the memory of Redis is looked at. */
  memoryCheckMs?: number;
}

/** The more events come together, the less each costs; an operator who watches does not notice the time. */
const defaultIntervalMs = 500;
/** As many as 10 seconds of a busy process bring. */
const defaultLimit = { events: 20_000, octets: 16 * 2 ** 20 };
const firstPauseMs = 500;
const longestPauseMs = 5_000;
const longestCloseMs = 1_000;
/** Sessions without mail, whose classification waits for an event of theirs. */
const maxSessions = 10_000;
/** How often the memory of Redis is looked at, and from which share of `maxmemory` on events give way to mail. */
const defaultMemoryCheckMs = 10_000;
const memoryShare = 0.8;

export function createEventPublisher(options: EventPublisherOptions): EventPublisher {
  const { keep, max } = options.events;
  if (keep === 0 || max === 0) return { add() {}, async close() {} };
  return new BatchingPublisher(options, { keepMs: keep, max });
}

class BatchingPublisher implements EventPublisher {
  readonly #log: Logger;
  readonly #redis: RedisConnection;
  readonly #keys: EventKeys;
  readonly #retention: Retention;
  readonly #intervalMs: number;
  readonly #limit: { events: number; octets: number };
  readonly #published: Tally;
  readonly #droppedTally: Tally;
  /** By session: what is appended once the session has an event that is kept. */
  readonly #sessions = new Map<string, { fields: EventFields; atMs: number; json: string | undefined }>();
  readonly #expiries = newShardExpiries();
  /** What waits; the last one takes the next event, unless it is full or being appended. */
  #batches: EventBatch[] = [];
  #appending: EventBatch | undefined;
  /** Events that wait, and their octets. */
  #waiting = 0;
  #octets = 0;
  /** Since the last batch that was appended. */
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #pauseMs = firstPauseMs;
  readonly #memoryCheckMs: number;
  #memoryCheckedAtMs = 0;
  #closing = false;

  constructor(options: EventPublisherOptions, retention: Retention) {
    this.#log = options.log;
    this.#redis = createRedis(options.redis, "producer", options.log);
    this.#keys = eventKeys(options.prefix ?? queuePrefix);
    this.#retention = retention;
    this.#intervalMs = options.intervalMs ?? defaultIntervalMs;
    this.#limit = options.limit ?? defaultLimit;
    this.#memoryCheckMs = options.memoryCheckMs ?? defaultMemoryCheckMs;
    const { published, dropped } = createEventMetrics(options.metrics, () => this.#waiting);
    this.#published = published;
    this.#droppedTally = dropped;
  }

  add(fields: EventFields, whole?: Record<string, unknown>, json?: string): void {
    if (this.#closing) return;
    const fate = fateOf(fields);
    const { session } = fields;
    if (fate === "with-session" && typeof session === "string") this.#remember(session, fields, json);
    if (fate === "kept") {
      const before = typeof session === "string" ? this.#sessions.get(session) : undefined;
      if (before !== undefined) {
        this.#sessions.delete(session as string);
        this.#push(before.fields, before.atMs, before.json);
      }
      if (whole === undefined) this.#push(fields, Date.now(), json);
      else this.#push({ ...fields, ...whole }, Date.now());
    } else if (fields.event === "session.close") this.#sessions.delete(session as string);
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closing = true;
    const rest = async (): Promise<void> => {
      await this.#running;
      while (this.#waiting > 0 && (await this.#appendBatch())) {}
    };
    await settlesWithin(rest(), longestCloseMs);
    if (this.#waiting > 0) this.#drop(this.#waiting);
    this.#redis.disconnect();
  }

  #remember(session: string, fields: EventFields, json: string | undefined): void {
    if (this.#sessions.size >= maxSessions) {
      for (const oldest of this.#sessions.keys()) {
        this.#sessions.delete(oldest);
        break;
      }
    }
    this.#sessions.set(session, { fields, atMs: Date.now(), json });
  }

  #push(fields: EventFields, atMs: number, json?: string): void {
    if (this.#waiting >= this.#limit.events || this.#octets >= this.#limit.octets) {
      this.#drop(1);
      return;
    }
    const batch = this.#openBatch();
    const before = batch.octets;
    batch.add(encodeEvent(fields, atMs, json), wordsOf(fields));
    this.#waiting++;
    this.#octets += batch.octets - before;
    if (this.#timer === undefined && this.#running === undefined) this.#appendIn(this.#intervalMs);
  }

  #openBatch(): EventBatch {
    const last = this.#batches.at(-1);
    if (last !== undefined && !last.isFull && last !== this.#appending) return last;
    const batch = new EventBatch();
    this.#batches.push(batch);
    return batch;
  }

  #drop(count: number): void {
    if (this.#dropped === 0) {
      this.#log.warn(
        { waiting: this.#waiting },
        "events are dropped: Redis does not take them; trace will lack them, the log has them",
      );
    }
    this.#dropped += count;
    this.#droppedTally.add(count);
  }

  #appendIn(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#run();
    }, ms);
    this.#timer.unref();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    let isTaken = true;
    do isTaken = await this.#appendBatch();
    while (isTaken && this.#batches[0]?.isFull === true);
    this.#running = undefined;
    if (this.#closing) return;
    if (isTaken) this.#pauseMs = firstPauseMs;
    if (this.#waiting > 0) this.#appendIn(isTaken ? this.#intervalMs : this.#pauseMs);
    if (!isTaken) this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
  }

  /** @returns whether Redis took it */
  async #appendBatch(): Promise<boolean> {
    const [batch] = this.#batches;
    if (batch === undefined) return true;
    // It does not grow any more, also when it is repeated: Redis may have taken it without our hearing of it.
    this.#appending = batch;
    try {
      await this.#checkMemory();
      await appendEvents(this.#redis, this.#keys, batch, this.#retention, this.#expiries);
    } catch (error) {
      if (/^OOM/.test((error as Error).message)) await this.#makeRoom();
      else this.#log.debug({ err: error }, "could not append events; will repeat");
      return false;
    }
    this.#batches.shift();
    this.#waiting -= batch.count;
    this.#octets -= batch.octets;
    this.#published.add(batch.count);
    if (this.#dropped > 0)
      this.#log.info({ events: this.#dropped }, "events were dropped; new ones are kept again");
    this.#dropped = 0;
    return true;
  }

  /** Events must not take the memory that the schedule of the mail needs. */
  async #checkMemory(): Promise<void> {
    const nowMs = Date.now();
    if (nowMs < this.#memoryCheckedAtMs + this.#memoryCheckMs) return;
    this.#memoryCheckedAtMs = nowMs;
    const info = String(await this.#redis.info("memory"));
    const read = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
    const limit = read("maxmemory");
    if (limit > 0 && read("used_memory") > limit * memoryShare) await this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    try {
      const removed = await dropOlderHalf(this.#redis, this.#keys);
      if (removed > 0)
        this.#log.warn(
          { removed },
          "Redis is nearly full: the older half of the events was removed; lower events.max",
        );
    } catch (error) {
      this.#log.debug({ err: error }, "could not remove events");
    }
  }
}
