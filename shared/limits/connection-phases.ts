/**
 * What each process does with its connections to servers, by destination: published in Redis for operators, where it
 * expires soon after the process ends. Nothing decides by it. It owns a timer; the connection is the caller's.
 */
import { hostname } from "node:os";
import { z } from "zod";
import { queuePrefix, type RedisConnection } from "../runtime/redis.ts";

/**
 * In the order of a connection's life. `waiting` has no connection yet: a message waits in the process for one that is to
 * come free. `idle` waits for the next message, `closing` for the server's reply to QUIT.
 */
export const connectionPhases = [
  "waiting",
  "resolving",
  "dialing",
  "greeting",
  "tls",
  "auth",
  "transaction",
  "idle",
  "closing",
] as const;
export type ConnectionPhase = (typeof connectionPhases)[number];
/** Connections by phase; a phase without one is absent. */
export type PhaseCounts = Partial<Record<ConnectionPhase, number>>;

export interface ProcessConnections {
  host: string;
  pid: number;
  /** By destination, as limits count it. */
  destinations: Map<string, PhaseCounts>;
}

/** The set of processes; each has a hash of its own that expires. */
const indexKey = `${queuePrefix}:connections`;
const processKey = (process: string): string => `${queuePrefix}:connections:${process}`;

const everyMs = 1_000;
const expiryMs = 6_000;
/** What has not changed is written again after so long, so that it does not expire. */
const renewMs = 3_000;
/** Of one process: an operator looks at the busiest. */
const maxDestinations = 2_000;

export interface PublisherOptions {
  redis: RedisConnection;
  /** Host, process id and something of its own, separated by spaces. */
  process: string;
  connections(): Map<string, PhaseCounts>;
}

/** Publishes once a second, and only what has changed. */
export class ConnectionPublisher {
  readonly #options: PublisherOptions;
  readonly #timer: NodeJS.Timeout;
  #published = "";
  #renewAtMs = 0;
  #isWriting = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.publish(performance.now()), everyMs).unref();
  }

  /** Never rejects: what Redis does not take is written the next time. @param nowMs  of a clock that only moves forward */
  async publish(nowMs: number): Promise<void> {
    const { redis, process, connections } = this.#options;
    if (this.#isWriting || redis.status !== "ready") return;
    const fields = fieldsOf(connections());
    const text = fields.join("\n");
    if (text === this.#published && (text === "" || nowMs < this.#renewAtMs)) return;
    this.#isWriting = true;
    try {
      const transaction = redis.multi().del(processKey(process));
      if (fields.length === 0) transaction.srem(indexKey, process);
      else {
        transaction.sadd(indexKey, process);
        transaction.hset(processKey(process), ...fields);
        transaction.pexpire(processKey(process), expiryMs);
      }
      for (const [error] of (await transaction.exec()) ?? []) if (error) throw error;
      this.#published = text;
      this.#renewAtMs = nowMs + renewMs;
    } catch {
      this.#published = "unknown";
    } finally {
      this.#isWriting = false;
    }
  }

  /** What stands in Redis expires. */
  close(): void {
    clearInterval(this.#timer);
  }
}

/** Destination and counts in turn, in the same order for the same connections. */
function fieldsOf(connections: Map<string, PhaseCounts>): string[] {
  const total = (counts: PhaseCounts): number => Object.values(counts).reduce((sum, count) => sum + count, 0);
  let entries = [...connections];
  if (entries.length > maxDestinations) {
    entries = entries.sort(([, a], [, b]) => total(b) - total(a)).slice(0, maxDestinations);
  }
  return entries.flatMap(([destination, counts]) => [destination, JSON.stringify(counts)]);
}

/** A name for `PublisherOptions.process` and for leases, from which operators see who it is. */
export function processName(unique: string): string {
  return `${hostname()} ${process.pid} ${unique}`;
}

/** @returns `undefined` for a name that has another form */
export function readProcessName(name: string): { host: string; pid: number } | undefined {
  const [host, pid] = name.split(" ");
  return host === undefined || !/^\d+$/.test(pid ?? "") ? undefined : { host, pid: Number(pid) };
}

/**
 * The connections of all processes. @param destination  absent: to all destinations
 * @throws Error of Redis
 */
export async function readConnections(
  redis: RedisConnection,
  destination?: string,
): Promise<ProcessConnections[]> {
  const names = await redis.smembers(indexKey);
  if (names.length === 0) return [];
  const pipeline = redis.pipeline();
  for (const name of names) {
    if (destination === undefined) pipeline.hgetall(processKey(name));
    else pipeline.hmget(processKey(name), destination);
  }
  const answers = (await pipeline.exec()) ?? [];
  const expired: string[] = [];
  const found = names.flatMap((name, index): ProcessConnections[] => {
    const [error, answer] = answers[index] ?? [];
    if (error) throw error;
    const entries =
      destination === undefined
        ? Object.entries(answer as Record<string, string>)
        : [[destination, (answer as (string | null)[])[0] ?? ""] as const];
    if (destination === undefined && entries.length === 0) expired.push(name);
    const who = readProcessName(name);
    const destinations = new Map(entries.flatMap(([to, text]) => readCounts(to, text)));
    return who === undefined || destinations.size === 0 ? [] : [{ ...who, destinations }];
  });
  if (expired.length > 0) await redis.srem(indexKey, ...expired);
  return found;
}

const countsSchema = z.partialRecord(z.enum(connectionPhases), z.int().min(0));

function readCounts(destination: string, text: string): [string, PhaseCounts][] {
  if (text === "") return [];
  const { data } = countsSchema.safeParse(JSON.parse(text));
  return data === undefined ? [] : [[destination, data]];
}

/** The sum over processes. Pure. */
export function addPhases(all: Iterable<PhaseCounts>): PhaseCounts {
  const sum: PhaseCounts = {};
  for (const counts of all) {
    for (const phase of connectionPhases) {
      const count = counts[phase] ?? 0;
      if (count > 0) sum[phase] = (sum[phase] ?? 0) + count;
    }
  }
  return sum;
}
