/**
 * The reconciler's room: keeps the queues in Redis in agreement with the spool, which is the truth. Any number of
 * processes may run a reconciler; a lease in Redis elects the one that works. Owns a connection, a producer and a timer;
 * close() ends them.
 */
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import type { Config } from "../../config/schema.ts";
import type { Logger } from "../../runtime/log.ts";
import { queuePrefix, type RedisConfig } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";
import { settlesWithin } from "../../runtime/with-timeout.ts";
import { KnownShards } from "../../shards/known-shards.ts";
import { forgetAfterMs, ShardClaims } from "../../shards/registry.ts";
import type { Shard } from "../../shards/shard.ts";
import { ShardConnections } from "../../shards/shard-connections.ts";
import type { Spool } from "../../spool/spool.ts";
import { readEpoch } from "../bullmq/epoch.ts";
import { requeueFailed } from "../bullmq/jobs.ts";
import type { Holds } from "../holds/store.ts";
import { HoldSweep } from "../holds/sweep.ts";
import { createProducer, type QueueProducer, scanRequestsKey } from "../producer.ts";
import { Lease } from "./leader-lease.ts";
import type { ScanDeps, ScanReport } from "./scan.ts";
import { ScanRunner } from "./scan-runner.ts";
import { ShardForgetter } from "./shard-forgetter.ts";
import { type CollectTiming, SpoolCollector } from "./spool-collector.ts";
import { noMemory, type ScanMemory, type ScanReason, whyScan } from "./why-scan.ts";

export interface ReconcilerTiming extends CollectTiming {
  /** Between two heartbeats, each of which renews the lease. */
  tickMs: number;
  /** A leader that died is replaced after so long. */
  leaseMs: number;
  /** Between two scans without any other reason. */
  scanEveryMs: number;
  /** After Redis was emptied, workers get so long to restore their active jobs before a scan. */
  reclaimMs: number;
  /** A shard that has no jobs, and got none for so long, is forgotten. */
  forgetShardsAfterMs: number;
}

export const reconcilerTiming: ReconcilerTiming = {
  tickMs: 1_000,
  leaseMs: 10_000,
  scanEveryMs: 600_000,
  reclaimMs: 2_500,
  forgetShardsAfterMs: forgetAfterMs,
  collectEveryMs: 10_000,
  collectAtMostMs: 60_000,
};

export interface ReconcilerOptions {
  spool: Spool;
  redis: RedisConfig;
  config: Pick<Config, "queue" | "dsn" | "limits">;
  log: Logger;
  /** The route that a job which is enqueued again carries until its next attempt. */
  summarizeRoute: ScanDeps["summarizeRoute"];
  /** With it, the leader holds the jobs that a new rule covers, and releases those whose rule ended or expired. */
  holds?: Holds;
  timing?: Partial<ReconcilerTiming>;
  /** A file whose presence asks for a scan, which removes it: mail of another spool has come. */
  scanFile?: string;
  /** After each scan that has found room in Redis for everything; for metrics. */
  onScan?(report: ScanReport & { reason: ScanReason; tookMs: number }): void;
}

export interface Reconciler {
  /** Whether this process has the lease. */
  readonly leading: boolean;
  /** How many messages wait in the spool until Redis has room for them; 0 where another process has the lease. */
  readonly left: number;
  /** Gives up the lease, so that another process takes over at once. */
  close(): Promise<void>;
}

const leaseKey = `${queuePrefix}:keeper`;
/** The leader's last heartbeat in a shard; another value means that its Redis lost writes. */
const heartbeatKey = ({ prefix }: Shard): string => `${prefix}:keeper:heartbeat`;
/** KEYS: the heartbeat. ARGV: the new one. Returns the one before. It runs also when Redis is full. */
const heartbeatScript = new Script(
  `
local before = redis.call("GET", KEYS[1])
redis.call("SET", KEYS[1], ARGV[1])
return before
`,
  { whenFull: true },
);
/** A scan that stopped is repeated, without any other reason, after so many times as long as it took. */
const pauseAfterStop = 10;
/** How long close() waits for Redis. */
const closeMs = 1_000;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  return new LeasedReconciler(options);
}

class LeasedReconciler implements Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #timing: ReconcilerTiming;
  readonly #log: Logger;
  readonly #connections: ShardConnections;
  readonly #shards: KnownShards;
  readonly #claims: ShardClaims;
  readonly #forgetter: ShardForgetter;
  readonly #producer: QueueProducer;
  readonly #lease: Lease;
  readonly #sweep: HoldSweep | undefined;
  readonly #collector: SpoolCollector;
  readonly #scans: ScanRunner;
  /** Makes this process's heartbeats differ from all others. */
  readonly #processId = randomUUID();
  #heartbeats = 0;
  /** The prefixes of shards to which the connection was lost and came back since the last heartbeat. */
  readonly #reconnected = new Set<string>();
  /** By the prefix of a shard. */
  readonly #memories = new Map<string, ScanMemory>();
  /** When a scan is due without any other reason, by the monotonic clock. */
  #nextScanMs = 0;
  /** The next scan, if there is a reason for one; not before a time by the monotonic clock. */
  #dueScan: { reason: ScanReason; notBeforeMs: number } | undefined;
  #scanning: Promise<void> | undefined;
  #ticking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    const { redis, log, spool, holds } = options;
    this.#options = options;
    this.#timing = { ...reconcilerTiming, ...options.timing };
    this.#log = log;
    this.#connections = new ShardConnections(redis, "plain", log);
    this.#connections.onReady(({ prefix }) => this.#reconnected.add(prefix));
    this.#shards = new KnownShards(this.#connections, redis.shards ?? 1, log);
    this.#claims = new ShardClaims(this.#connections.global);
    this.#forgetter = new ShardForgetter({
      connections: this.#connections,
      own: redis.shards ?? 1,
      afterMs: this.#timing.forgetShardsAfterMs,
      log,
    });
    this.#producer = createProducer(redis, log);
    this.#lease = new Lease(this.#connections.global, leaseKey, this.#timing.leaseMs);
    this.#sweep = holds && new HoldSweep(this.#shards, holds, log);
    this.#collector = new SpoolCollector(spool, this.#timing, log);
    this.#scans = new ScanRunner({ deps: () => this.#scanDeps(), log, onScan: options.onScan });
    this.#tickRegularly();
  }

  get leading(): boolean {
    return this.#lease.held;
  }

  get left(): number {
    return this.#scans.left;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const collected = this.#collector.close();
    await settlesWithin(this.#leave(), closeMs);
    // What still waits for Redis ends with its connections.
    await this.#producer.close();
    this.#shards.close();
    this.#connections.disconnect();
    await Promise.all([this.#scanning, collected]);
  }

  async #leave(): Promise<void> {
    await this.#ticking;
    this.#sweep?.close();
    if (this.#lease.held) await this.#lease.release();
    await this.#scanning;
  }

  #tickRegularly(): void {
    this.#ticking = this.#tick()
      .catch((error) => {
        if (!this.#closed) this.#log.debug({ err: error }, "reconciler");
      })
      .finally(() => {
        if (!this.#closed) this.#timer = setTimeout(() => this.#tickRegularly(), this.#timing.tickMs);
      });
  }

  async #tick(): Promise<void> {
    const lease = await this.#lease.renew();
    if (lease === "others") {
      for (const [prefix, memory] of this.#memories)
        this.#memories.set(prefix, { ...memory, heartbeat: undefined });
      this.#scans.forget();
      return;
    }
    const scanRequests = await this.#connections.global.get(scanRequestsKey);
    for (const prefix of this.#memories.keys())
      if (!this.#shards.all.some((shard) => shard.prefix === prefix)) this.#memories.delete(prefix);
    // Not Promise.all: a shard that is out of reach must not keep the others from being looked at.
    const looks = await Promise.allSettled(
      this.#shards.all.map((shard) => this.#lookForReason(shard, lease, scanRequests)),
    );
    if (await this.#mailHasCome()) {
      this.#dueScan ??= { reason: "mail of another spool has come", notBeforeMs: 0 };
    }
    this.#scanIfDue();
    this.#collector.collectIfDue();
    for (const look of looks) if (look.status === "rejected") throw look.reason;
    this.#sweep?.sweepIfDue();
    await this.#forgetter.forgetIfDue();
  }

  async #lookForReason(shard: Shard, lease: "taken" | "renewed", scanRequests: string | null): Promise<void> {
    const { prefix, redis } = shard;
    const heartbeat = `${this.#processId}:${this.#heartbeats++}`;
    const heartbeatBefore = (await heartbeatScript.run(redis, [heartbeatKey(shard)], [heartbeat])) as
      | string
      | null;
    const epoch = await readEpoch(shard);
    const nowMs = performance.now();
    const reconnected = this.#reconnected.delete(prefix);
    const seen = { nowMs, lease, heartbeat, heartbeatBefore, scanRequests, epoch, reconnected };
    const before = { ...(this.#memories.get(prefix) ?? noMemory), nextScanMs: this.#nextScanMs };
    const { reason, letWorkersReclaim, memory } = whyScan(seen, before);
    this.#memories.set(prefix, memory);
    if (reason === "Redis was emptied") this.#dueScan = { reason, notBeforeMs: 0 };
    else if (reason !== undefined) this.#dueScan ??= { reason, notBeforeMs: 0 };
    if (letWorkersReclaim && this.#dueScan) this.#dueScan.notBeforeMs = nowMs + this.#timing.reclaimMs;
    for (const queue of ["delivery", "delivery-slow", "bounce"] as const) {
      const requeued = await requeueFailed(shard, queue);
      if (requeued > 0)
        this.#log.warn({ queue, prefix, jobs: requeued }, "jobs had failed for BullMQ; they wait again");
    }
  }

  /** Removes the file first: mail that comes during the scan asks for another. */
  async #mailHasCome(): Promise<boolean> {
    const { scanFile } = this.#options;
    if (scanFile === undefined || this.#scanning !== undefined) return false;
    return rm(scanFile).then(
      () => true,
      () => false,
    );
  }

  #scanIfDue(): void {
    const due = this.#dueScan;
    if (this.#scanning !== undefined || (due === undefined && this.#scans.stopped === undefined)) return;
    if (due !== undefined && performance.now() < due.notBeforeMs) return;
    this.#dueScan = undefined;
    this.#scanning = this.#scan(due?.reason).finally(() => {
      this.#scanning = undefined;
    });
  }

  /** @param due  why a scan is due; absent: the one that stopped goes on, if there is room */
  async #scan(due: ScanReason | undefined): Promise<void> {
    const reason = due ?? this.#scans.stopped ?? "it is time";
    const { scanEveryMs, tickMs } = this.#timing;
    const startedMs = performance.now();
    if (due !== undefined) this.#nextScanMs = startedMs + scanEveryMs;
    try {
      // Before the rules are known, none would count.
      await this.#options.holds?.ready;
      const outcome = due === undefined ? await this.#scans.goOn() : await this.#scans.scan(due);
      if (outcome === "interrupted") this.#dueScan ??= { reason, notBeforeMs: 0 };
      if (outcome !== "stopped" || due === undefined) return;
      const endedMs = performance.now();
      this.#nextScanMs = endedMs + Math.max(scanEveryMs, pauseAfterStop * (endedMs - startedMs));
    } catch (error) {
      if (this.#closed) return;
      this.#log.warn({ err: error, reason }, "could not compare the queues with the spool; will repeat");
      this.#dueScan = {
        reason: this.#dueScan?.reason ?? reason,
        notBeforeMs: performance.now() + 2 * tickMs,
      };
    }
  }

  #scanDeps(): ScanDeps {
    const { spool, config, holds, summarizeRoute } = this.#options;
    // What a scan has added is lost when Redis is emptied: it ends, and another one begins.
    const mayGoOn = (): boolean =>
      this.#lease.held && !this.#closed && this.#dueScan?.reason !== "Redis was emptied";
    const connections = { shards: this.#shards, claims: this.#claims, producer: this.#producer };
    return { spool, config, holds, summarizeRoute, mayGoOn, ...connections };
  }
}
