/**
 * Appends the events of a process to the stream, in batches in the background. Mail never waits for it, and never fails by
 * it: what does not fit into its memory is dropped and counted. It owns its connections to Redis and a timer; close() ends
 * them.
 */
import type { EventFields, EventSink, Logger } from "../../runtime/log.ts";
import type { Metrics, Tally } from "../../runtime/metrics.ts";
import type { RedisConfig } from "../../runtime/redis.ts";
import { settlesWithin } from "../../runtime/with-timeout.ts";
import { claimForEvents } from "../../shards/registry.ts";
import { prefixesOf } from "../../shards/shard.ts";
import { ShardConnections } from "../../shards/shard-connections.ts";
import { encodeEvent, fateOf, wordsOf } from "../event.ts";
import type { Retention } from "./append.ts";
import { EventBatch } from "./event-batch.ts";
import { createEventMetrics } from "./event-metrics.ts";
import { StreamWriter } from "./stream-writer.ts";

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
/** A claim lasts as long as events are kept; it is renewed after so long at most. */
const claimEveryMs = 60_000;

export function createEventPublisher(options: EventPublisherOptions): EventPublisher {
  const { keep, max } = options.events;
  if (keep === 0 || max === 0) return { add() {}, async close() {} };
  return new BatchingPublisher(options, { keepMs: keep, max });
}

class BatchingPublisher implements EventPublisher {
  readonly #log: Logger;
  readonly #connections: ShardConnections;
  readonly #retention: Retention;
  /** One for each shard; batches go to them in turn. */
  readonly #writers: StreamWriter[];
  #turn = 0;
  /** By the monotonic clock. */
  #claimedAtMs = Number.NEGATIVE_INFINITY;
  readonly #intervalMs: number;
  readonly #limit: { events: number; octets: number };
  readonly #published: Tally;
  readonly #droppedTally: Tally;
  /** By session: what is appended once the session has an event that is kept. */
  readonly #sessions = new Map<string, { fields: EventFields; atMs: number; json: string | undefined }>();
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
  #closing = false;

  constructor(options: EventPublisherOptions, retention: Retention) {
    this.#log = options.log;
    this.#connections = new ShardConnections(options.redis, "producer", options.log);
    const prefixes = options.prefix === undefined ? prefixesOf(options.redis.shards ?? 1) : [options.prefix];
    this.#retention = retention;
    this.#writers = prefixes.map(
      (prefix) =>
        new StreamWriter({
          shard: this.#connections.of(prefix),
          retention: { ...retention, max: Math.ceil(retention.max / prefixes.length) },
          log: options.log,
          ...(options.memoryCheckMs === undefined ? {} : { memoryCheckMs: options.memoryCheckMs }),
        }),
    );
    this.#intervalMs = options.intervalMs ?? defaultIntervalMs;
    this.#limit = options.limit ?? defaultLimit;
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
    this.#connections.disconnect();
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
    // One that failed is repeated in the next shard: the server of this one may be away.
    const writer = this.#writers[this.#turn++ % this.#writers.length];
    this.#claimIfDue();
    if (!(await writer?.append(batch))) return false;
    this.#batches.shift();
    this.#waiting -= batch.count;
    this.#octets -= batch.octets;
    this.#published.add(batch.count);
    if (this.#dropped > 0)
      this.#log.info({ events: this.#dropped }, "events were dropped; new ones are kept again");
    this.#dropped = 0;
    return true;
  }

  /** Readers look into all shards that stand in the registry. A claim that fails is repeated with the next batch. */
  #claimIfDue(): void {
    const { keepMs } = this.#retention;
    const everyMs = Math.min(claimEveryMs, keepMs / 10);
    const nowMs = performance.now();
    if (nowMs < this.#claimedAtMs + everyMs) return;
    this.#claimedAtMs = nowMs;
    const prefixes = this.#writers.map(({ prefix }) => prefix);
    claimForEvents(this.#connections.global, prefixes, keepMs + 2 * everyMs).catch(() => {
      this.#claimedAtMs = Number.NEGATIVE_INFINITY;
    });
  }
}
