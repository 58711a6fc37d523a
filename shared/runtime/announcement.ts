/** Announces services in Redis, so that the admin can list them all. An announcement expires soon after its service ends. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { z } from "zod";
import { type Drain, type Draining, readDrain } from "./drain.ts";
import type { Health } from "./health-server.ts";
import { type ReloadOutcome, reloadOutcomeSchema } from "./live-configuration.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { createRedis, queuePrefix, type RedisConfig, type RedisConnection } from "./redis.ts";
import { newRequest, type ReloadRequest, reloadKey } from "./reload-request.ts";
import { TrafficPublisher } from "./traffic.ts";
import { settlesWithin } from "./with-timeout.ts";

const announcementSchema = z.object({
  /** ingress, delivery, bounce, admin. */
  name: z.string(),
  pid: z.int(),
  host: z.string(),
  /** Where it answers /health and /metrics; `null` when it does not. */
  url: z.string().nullable(),
  ready: z.boolean(),
  reasons: z.array(z.string()),
  /** Absent in announcements of the version before. */
  warnings: z.array(z.string()).default([]),
  /** ISO 8601. */
  startedAt: z.string(),
  /** What became of the last reload; `null` before the first. Absent in announcements of the version before. */
  reload: reloadOutcomeSchema.nullable().optional(),
  /** Of Postern. Absent in announcements of the version before. */
  version: z.string().optional(),
  /** Of an ingress whose host is taken out of service: connections of clients that are still open. */
  draining: z.object({ sessions: z.int() }).optional(),
  /** Of the delivery process that schedules the mail of the spool: messages that wait until Redis has room; absent: none. */
  unscheduled: z.int().optional(),
});
export type ServiceAnnouncement = z.infer<typeof announcementSchema>;

/** A service that was announced, and whose announcements have ended without a word. */
export interface EndedService extends ServiceAnnouncement {
  /** Epoch milliseconds. */
  lastSeenMs: number;
}

/** The set of announcement ids; each announcement is a key of its own that expires. */
const indexKey = `${queuePrefix}:services`;
const announcementKey = (id: string): string => `${queuePrefix}:services:${id}`;
/** A hash: the last announcement of each service that has not ended in good order, with its time, by id. */
const lastSeenKey = `${queuePrefix}:services-seen`;
/** How often that is written, in announcements. */
const seenEvery = 5;
/** So long it is known that a service has ended without a word. */
const endedForMs = 900_000;
const everyMs = 1_000;
/** A service may be busy for that long without counting as gone. */
const expiryMs = 6_000;
/** How long close() waits for Redis: an announcement that stays expires. */
const closeMs = 1_000;

/** How a service reloads its configuration. */
export interface Reloading {
  outcome(): ReloadOutcome | null;
  /** Never rejects. */
  reload(request: ReloadRequest): Promise<unknown>;
}

/**
 * Announces a service every few seconds until it is closed, and passes it the requests to reload. Owns a connection and a
 * timer.
 * @param health  asked for each announcement
 */
export function announceService(options: {
  redis: RedisConfig;
  name: string;
  url: string | null;
  log: Logger;
  /** Of Postern. */
  version?: string;
  /** The counters of this process, which are published with it. */
  metrics?: Pick<Metrics, "totals">;
  health(): Promise<Health>;
  /** After each announcement, a write that Redis has answered or not: how long that took. */
  onWritten?(seconds: number, isWritten: boolean): void;
  reloading?: Reloading;
  /** Absent: the service has no clients. */
  draining?: Draining | undefined;
  /** Messages that are in the spool and not in the queues yet; absent: the service does not know. */
  unscheduled?: (() => number) | undefined;
}): { close(): Promise<void> } {
  const redis = createRedis(options.redis, "plain", options.log);
  const id = randomUUID();
  const { reloading } = options;
  const startedAtMs = Date.now();
  const startedAt = new Date(startedAtMs).toISOString();
  let lastRequest: ReloadRequest | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  const traffic = options.metrics === undefined ? undefined : new TrafficPublisher(options.metrics);
  let count = 0;

  let isBusy = false;
  let isOutdated = false;

  const announce = async (): Promise<void> => {
    isOutdated = isBusy;
    if (isBusy) return;
    isBusy = true;
    clearTimeout(timer);
    try {
      const isDraining = await followDrain();
      const { ready, reasons, warnings = [] } = await options.health();
      const { name, url } = options;
      const unscheduled = options.unscheduled?.() ?? 0;
      const announcement: ServiceAnnouncement = {
        name,
        pid: process.pid,
        host: hostname(),
        url,
        ready,
        reasons,
        warnings,
        startedAt,
        ...(reloading === undefined ? {} : { reload: reloading.outcome() }),
        ...(options.version === undefined ? {} : { version: options.version }),
        ...(isDraining ? { draining: { sessions: options.draining?.sessions() ?? 0 } } : {}),
        ...(unscheduled > 0 ? { unscheduled } : {}),
      };
      if (closed) return;
      const begunMs = performance.now();
      const written = (isWritten: boolean) =>
        options.onWritten?.((performance.now() - begunMs) / 1000, isWritten);
      await redis
        .multi()
        .sadd(indexKey, id)
        .set(announcementKey(id), JSON.stringify(announcement), "PX", expiryMs)
        .exec()
        .then(
          () => written(true),
          () => {
            if (!closed) written(false);
            // A full Redis takes no announcement, and keeps the last one when it is asked to.
            return redis.pexpire(announcementKey(id), expiryMs);
          },
        );
      if (reloading !== undefined) await follow(reloading);
      if (closed) return;
      if (count++ % seenEvery === 0) {
        await redis.hset(lastSeenKey, id, JSON.stringify({ ...announcement, lastSeenMs: Date.now() }));
      }
      await traffic?.publish(redis, Date.now());
    } catch (error) {
      if (!closed) options.log.debug({ err: error }, "could not announce the service");
    }
    isBusy = false;
    if (closed) return;
    if (isOutdated) void announce();
    else timer = setTimeout(announce, everyMs);
  };
  let drain: Drain | undefined;
  /** What Redis cannot say stays as it was. @returns whether this host is out of service */
  const followDrain = async (): Promise<boolean> => {
    if (options.draining === undefined) return false;
    if (redis.status === "ready") drain = await readDrain(redis, hostname()).catch(() => drain);
    if (!closed) options.draining.follow(drain);
    return drain !== undefined;
  };
  /** A process that was out of reach of Redis finds the request when it is back. */
  const follow = async (reloading: Reloading): Promise<void> => {
    const request = newRequest(await redis.get(reloadKey), lastRequest, startedAtMs);
    if (request === undefined || closed) return;
    lastRequest = request;
    // Not waited for: a service that needs long for it stays announced.
    void reloading.reload(request).then(() => {
      if (!closed) void announce();
    });
  };
  void announce();

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      if (redis.status === "ready") {
        const published = traffic?.publish(redis, Date.now());
        await settlesWithin(Promise.all([published, goodbye(redis, id)]), closeMs);
      }
      redis.disconnect();
    },
  };
}

async function goodbye(redis: RedisConnection, id: string): Promise<void> {
  await redis.multi().srem(indexKey, id).del(announcementKey(id)).hdel(lastSeenKey, id).exec();
}

const endedSchema = announcementSchema.extend({ lastSeenMs: z.number() });

/**
 * The services that have ended without a word in the last quarter of an hour: killed, crashed, cut off, or their machine
 * is. @throws Error of Redis
 */
export async function readEndedServices(redis: RedisConnection, nowMs: number): Promise<EndedService[]> {
  const seen = Object.entries(await redis.hgetall(lastSeenKey));
  if (seen.length === 0) return [];
  const announced = await redis.mget(seen.map(([id]) => announcementKey(id)));
  const gone = seen.filter((_, index) => announced[index] === null);
  const ended: EndedService[] = [];
  const forgotten: string[] = [];
  for (const [id, text] of gone) {
    const { data } = endedSchema.safeParse(JSON.parse(text));
    if (data === undefined || nowMs - data.lastSeenMs > endedForMs) forgotten.push(id);
    else ended.push(data as EndedService);
  }
  if (forgotten.length > 0) await redis.hdel(lastSeenKey, ...forgotten);
  return ended;
}

/** The services whose announcements have not expired, sorted by name, host and process id. @throws Error of Redis */
export async function readAnnouncements(redis: RedisConnection): Promise<ServiceAnnouncement[]> {
  const ids = await redis.smembers(indexKey);
  if (ids.length === 0) return [];
  const texts = await redis.mget(ids.map(announcementKey));
  const gone = ids.filter((_, index) => texts[index] === null);
  if (gone.length > 0) await redis.srem(indexKey, ...gone);
  const services = texts.flatMap((text) => {
    const parsed = announcementSchema.safeParse(text === null ? undefined : JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  });
  const order = ({ name, host, pid }: ServiceAnnouncement): string =>
    `${name} ${host} ${String(pid).padStart(10)}`;
  return services.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** The URL by which a service of this machine is reached: on a wildcard address it announces the host's name. */
export function urlFromHere(url: string): string {
  return url.replace(`//${hostname()}:`, "//127.0.0.1:");
}
