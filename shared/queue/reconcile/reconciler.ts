/**
 * Keeps the schedule (Redis) in agreement with the truth (the spool). Any number of processes may run one; a lease in
 * Redis elects the one that works. Owns a connection, a producer and a timer; close() ends them.
 */
import { randomUUID } from "node:crypto";
import type { Config } from "../../config/schema.ts";
import type { RouteSummary } from "../../routing/route.ts";
import type { Logger } from "../../runtime/log.ts";
import { createRedis, queuePrefix, type RedisConfig } from "../../runtime/redis.ts";
import type { Spool, StoredMessage } from "../../spool/spool.ts";
import { readEpoch } from "../bullmq/epoch.ts";
import { requeueFailed } from "../bullmq/jobs.ts";
import type { Holds } from "../holds/store.ts";
import { HoldSweep } from "../holds/sweep.ts";
import { createProducer, scanRequestsKey } from "../producer.ts";
import { Lease } from "./leader-lease.ts";
import { type ScanReport, scanSpool } from "./scan.ts";

const reconcilerLeaseKey = `${queuePrefix}:keeper`;
/** The leader's last heartbeat; another value means that Redis lost writes. */
const reconcilerHeartbeatKey = `${queuePrefix}:keeper:heartbeat`;

export interface ReconcilerTiming {
  /** Lease renewal and heartbeat. */
  tickMs: number;
  /** A dead keeper is replaced after so long. */
  leaseMs: number;
  /** Scans without any other reason. */
  scanEveryMs: number;
  /** After Redis was emptied, workers get so long to put back what they have in hand. */
  reclaimMs: number;
  /** Between two runs of spool.collect(), and the longest pause when it finds nothing. */
  collectEveryMs: number;
  collectAtMostMs: number;
}

export const reconcilerTiming: ReconcilerTiming = {
  tickMs: 1_000,
  leaseMs: 10_000,
  scanEveryMs: 600_000,
  reclaimMs: 2_500,
  collectEveryMs: 10_000,
  collectAtMostMs: 60_000,
};

export interface ReconcilerOptions {
  spool: Spool;
  redis: RedisConfig;
  config: Pick<Config, "queue" | "dsn">;
  log: Logger;
  /** The route that a job which is enqueued again carries until its next attempt. */
  summarizeRoute(message: StoredMessage, part: number): RouteSummary;
  /** With it, the keeper lets parked jobs go when their hold ends or expires, and parks those of a new one. */
  holds?: Holds;
  timing?: Partial<ReconcilerTiming>;
  /** After each scan; for metrics. */
  onScan?(report: ScanReport & { reason: string; tookMs: number }): void;
}

export interface Reconciler {
  /** Whether this process is the one. */
  readonly leading: boolean;
  /** Gives up the lease, so that another process takes over at once. */
  close(): Promise<void>;
}

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { spool, config, log, holds } = options;
  const timing = { ...reconcilerTiming, ...options.timing };
  const redis = createRedis(options.redis, "plain", log);
  const producer = createProducer(options.redis, log);
  const lease = new Lease(redis, reconcilerLeaseKey, timing.leaseMs);
  const sweep = holds === undefined ? undefined : new HoldSweep(redis, holds, log);
  const heart = randomUUID();
  let beats = 0;
  let lastBeat: string | undefined;
  let lastRequests: string | null | undefined;
  let epoch: string | undefined;
  let reconnected = false;
  let reason: string | undefined;
  let notBeforeMs = 0;
  let nextScanMs = 0;
  let scanning: Promise<void> | undefined;
  let collecting: Promise<void> | undefined;
  let collectPauseMs = timing.collectEveryMs;
  let nextCollectMs = Date.now() + collectPauseMs;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let ticking: Promise<void> = Promise.resolve();

  redis.on("ready", () => {
    reconnected = true;
  });

  /** Why the schedule may lack something, as far as Redis tells. */
  const suspect = async (renewal: "taken" | "renewed"): Promise<string | undefined> => {
    const beat = `${heart}:${beats++}`;
    const before = await redis.set(reconcilerHeartbeatKey, beat, "GET");
    const requests = await redis.get(scanRequestsKey);
    const epochNow = await readEpoch(redis);
    const emptied = epochNow !== epoch;
    const knewBefore = epoch !== undefined;
    const forgot = lastBeat !== undefined && before !== lastBeat;
    const asked = lastRequests !== undefined && requests !== lastRequests;
    const back = reconnected;
    reconnected = false;
    lastBeat = beat;
    lastRequests = requests;
    epoch = epochNow;
    if (emptied) notBeforeMs = Date.now() + timing.reclaimMs;
    // Its lease went with the rest.
    if (emptied && knewBefore) return "Redis was emptied";
    if (renewal === "taken") return "this keeper took over";
    if (forgot) return "Redis forgot something";
    if (back) return "Redis is back";
    if (asked) return "a publisher asked for it";
    return Date.now() >= nextScanMs ? "it is time" : undefined;
  };

  const scan = async (why: string): Promise<void> => {
    const startedMs = Date.now();
    nextScanMs = startedMs + timing.scanEveryMs;
    const mayGoOn = (): boolean => lease.held && !closed;
    try {
      const { summarizeRoute } = options;
      // Before the rules are known, none would count.
      await holds?.ready;
      const report = await scanSpool({ spool, redis, producer, config, holds, summarizeRoute, mayGoOn });
      if (!mayGoOn()) {
        reason ??= why;
        return;
      }
      const tookMs = Date.now() - startedMs;
      const { deliveries, bounces, dead, expired } = report;
      const found = deliveries + bounces + dead + expired > 0;
      log[found ? "info" : "debug"]({ reason: why, tookMs, ...report }, "compared the queues with the spool");
      options.onScan?.({ ...report, reason: why, tookMs });
    } catch (error) {
      if (closed) return;
      log.warn({ err: error, reason: why }, "could not compare the queues with the spool; will repeat");
      reason ??= why;
      notBeforeMs = Date.now() + 2 * timing.tickMs;
    }
  };

  const collect = async (): Promise<void> => {
    try {
      const report = await spool.collect();
      const useful = report.segmentsRemoved > 0 || report.messagesMoved > 0;
      collectPauseMs = useful ? timing.collectEveryMs : Math.min(collectPauseMs * 2, timing.collectAtMostMs);
      if (useful) log.debug(report, "collected the spool");
    } catch (error) {
      if (!closed) log.warn({ err: error }, "could not collect the spool");
    }
    nextCollectMs = Date.now() + collectPauseMs;
  };

  const tick = async (): Promise<void> => {
    const renewal = await lease.renew();
    if (renewal === "others") {
      lastBeat = undefined;
      return;
    }
    const suspicion = await suspect(renewal);
    reason ??= suspicion;
    if (reason !== undefined && scanning === undefined && Date.now() >= notBeforeMs) {
      const why = reason;
      reason = undefined;
      scanning = scan(why).finally(() => {
        scanning = undefined;
      });
    }
    if (collecting === undefined && Date.now() >= nextCollectMs) {
      collecting = collect().finally(() => {
        collecting = undefined;
      });
    }
    for (const queue of ["delivery", "delivery-slow", "bounce"] as const) {
      const requeued = await requeueFailed(redis, queue);
      if (requeued > 0) log.warn({ queue, jobs: requeued }, "jobs had failed for BullMQ; they wait again");
    }
    sweep?.sweepIfDue();
  };

  const loop = (): void => {
    ticking = tick()
      .catch((error) => {
        if (!closed) log.debug({ err: error }, "keeper");
      })
      .finally(() => {
        if (!closed) timer = setTimeout(loop, timing.tickMs);
      });
  };
  loop();

  return {
    get leading() {
      return lease.held;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await Promise.race([ticking, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
      clearTimeout(timer);
      const led = lease.held;
      sweep?.close();
      if (led)
        await Promise.race([
          lease.release().catch(() => {}),
          new Promise((r) => setTimeout(r, 1_000).unref()),
        ]);
      await Promise.allSettled([scanning, collecting]);
      await producer.close();
      redis.disconnect();
    },
  };
}
