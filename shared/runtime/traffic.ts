/**
 * What passed through the whole gateway in the last hour: processes add what their counters gained to buckets of ten
 * seconds in Redis, which expire. It owns nothing; the connection is the caller's.
 */
import type { Metrics } from "./metrics.ts";
import { queuePrefix, type RedisConnection } from "./redis.ts";

/**
 * `accepted`: messages; `delivered`, `deferred`: recipients, by attempts; `bounced`: notifications of failure; `refused`:
 * senders, recipients and messages refused; `proxied`: transactions of the outgoing proxy.
 */
export const trafficKinds = ["accepted", "delivered", "deferred", "bounced", "refused", "proxied"] as const;
export type TrafficKind = (typeof trafficKinds)[number];
export type Traffic = Record<TrafficKind, number>;

/** Ten seconds of traffic. */
export interface TrafficBucket extends Traffic {
  /** When it begins; epoch milliseconds. */
  atMs: number;
  /** Whether any process has reported in it: without, no traffic means that nothing is known. */
  isMeasured: boolean;
  rows: SessionRows;
}

/**
 * Sessions opened, by the row of the routing table that decided about the connection, or by the direction where several
 * rows may (`local`). `opaque`: of all of them those that went on under TLS or in another protocol, unread, counted when
 * they did.
 */
export type SessionRows = Record<string, number>;

/** The traffic of some minutes until now. */
export interface RecentTraffic {
  /** Epoch milliseconds. */
  nowMs: number;
  /** Oldest first; the last one is not over. */
  buckets: TrafficBucket[];
}

/** The counters that count each kind, and the first of the label values that they count under. */
const sources: Record<TrafficKind, readonly [counter: string, label?: string][]> = {
  accepted: [["messages_accepted_total"]],
  delivered: [
    ["delivery_outcomes_total", "delivered"],
    ["inline_recipients_total", "delivered"],
  ],
  deferred: [["delivery_outcomes_total", "deferred"]],
  bounced: [["notifications_total", "failed"]],
  refused: [["refusals_total"]],
  proxied: [["proxy_transactions_total"]],
};

const sessionsCounter = "connections_total";
/** Its place among the labels of that counter. */
const rowLabel = 1;
const opaqueCounter = "proxy_not_inspected_total";
/** In a bucket, before the name of a row. */
const rowField = "row:";
/** In a bucket: processes that have reported in it. */
const reportedField = "reported";

const bucketMs = 10_000;
const keptMs = 3_900_000;
const bucketKey = (bucket: number): string => `${queuePrefix}:traffic:${bucket}`;

export function noTraffic(): Traffic {
  return { accepted: 0, delivered: 0, deferred: 0, bounced: 0, refused: 0, proxied: 0 };
}

/** What this process has counted since its start. */
export function countedBy(metrics: Pick<Metrics, "totals">): Traffic {
  const traffic = noTraffic();
  for (const kind of trafficKinds) {
    for (const [counter, label] of sources[kind]) {
      for (const [key, count] of metrics.totals(counter)) {
        if (label === undefined || key.split("\t")[0] === label) traffic[kind] += count;
      }
    }
  }
  return traffic;
}

/** The sessions that this process has counted since its start. */
export function sessionsBy(metrics: Pick<Metrics, "totals">): SessionRows {
  const rows: SessionRows = {};
  const add = (row: string, count: number): void => {
    rows[row] = (rows[row] ?? 0) + count;
  };
  for (const [key, count] of metrics.totals(sessionsCounter)) add(key.split("\t")[rowLabel] ?? "", count);
  for (const count of metrics.totals(opaqueCounter).values()) add("opaque", count);
  return rows;
}

/** Publishes what the process has counted since it last did; what Redis does not take is added the next time. */
export class TrafficPublisher {
  readonly #metrics: Pick<Metrics, "totals">;
  #published: Record<string, number> = {};
  /** The last bucket that says that this process has reported. */
  #reportedIn = -1;

  constructor(metrics: Pick<Metrics, "totals">) {
    this.#metrics = metrics;
  }

  /** @throws Error of Redis */
  async publish(redis: RedisConnection, nowMs: number): Promise<void> {
    const counted: Record<string, number> = { ...countedBy(this.#metrics) };
    for (const [row, count] of Object.entries(sessionsBy(this.#metrics)))
      counted[`${rowField}${row}`] = count;
    const gained = Object.entries(counted)
      .map(([field, count]) => [field, count - (this.#published[field] ?? 0)] as const)
      .filter(([, count]) => count > 0);
    const bucket = Math.floor(nowMs / bucketMs);
    const isFirst = bucket !== this.#reportedIn;
    if (gained.length === 0 && !isFirst) return;
    const key = bucketKey(bucket);
    const transaction = redis.multi();
    if (isFirst) transaction.hincrby(key, reportedField, 1);
    for (const [field, count] of gained) transaction.hincrby(key, field, count);
    transaction.pexpire(key, keptMs);
    for (const [error] of (await transaction.exec()) ?? []) if (error) throw error;
    this.#published = counted;
    this.#reportedIn = bucket;
  }
}

/** The traffic of the last minutes. @throws Error of Redis */
export async function readTraffic(
  redis: RedisConnection,
  minutes: number,
  nowMs: number,
): Promise<RecentTraffic> {
  const current = Math.floor(nowMs / bucketMs);
  const count = bucketsIn(minutes);
  const pipeline = redis.pipeline();
  for (let bucket = current - count; bucket <= current; bucket++) pipeline.hgetall(bucketKey(bucket));
  const buckets = ((await pipeline.exec()) ?? []).map(([error, value], index) => {
    if (error) throw error;
    const counts = value as Record<string, string>;
    const traffic = noTraffic();
    for (const kind of trafficKinds) traffic[kind] = Number(counts[kind] ?? 0);
    const rows: SessionRows = {};
    for (const [field, count] of Object.entries(counts)) {
      if (field.startsWith(rowField)) rows[field.slice(rowField.length)] = Number(count);
    }
    // A process of the version before reports only what it has counted.
    const isMeasured = Object.keys(counts).length > 0;
    return { atMs: (current - count + index) * bucketMs, isMeasured, ...traffic, rows };
  });
  return { nowMs, buckets };
}

/** The buckets of the last minutes that are over, oldest first. Pure. @param recent  of so many minutes or more */
export function bucketsOver({ buckets }: RecentTraffic, minutes: number): TrafficBucket[] {
  return buckets.slice(-bucketsIn(minutes) - 1, -1);
}

function bucketsIn(minutes: number): number {
  return (minutes * 60_000) / bucketMs;
}

/**
 * The buckets of the last minutes until now, the one that is not over among them: what has just happened counts at once.
 * The oldest counts as far as it lies within them.
 */
function trailing(
  { nowMs, buckets }: RecentTraffic,
  minutes: number,
): { bucket: TrafficBucket; share: number }[] {
  const elapsed = (nowMs % bucketMs) / bucketMs;
  const wanted = buckets.slice(-bucketsIn(minutes) - 1);
  return wanted.map((bucket, index) => ({ bucket, share: index === 0 ? 1 - elapsed : 1 }));
}

/** Messages a minute over the last minutes. Pure. @param recent  of so many minutes or more */
export function ratePerMinute(recent: RecentTraffic, minutes: number): Traffic {
  const rate = noTraffic();
  for (const { bucket, share } of trailing(recent, minutes)) {
    for (const kind of trafficKinds) rate[kind] += bucket[kind] * share;
  }
  for (const kind of trafficKinds) rate[kind] = Math.round((rate[kind] / minutes) * 10) / 10;
  return rate;
}

/** Sessions a minute over the last minutes, by row. Pure. @param recent  of so many minutes or more */
export function sessionsPerMinute(recent: RecentTraffic, minutes: number): SessionRows {
  const sum: SessionRows = {};
  for (const { bucket, share } of trailing(recent, minutes)) {
    for (const [row, count] of Object.entries(bucket.rows)) sum[row] = (sum[row] ?? 0) + count * share;
  }
  return Object.fromEntries(
    Object.entries(sum).map(([row, count]) => [row, Math.round((count / minutes) * 10) / 10]),
  );
}
