/**
 * Keeps an ingress process from taking more than it can store: measures, decides for each connection and message, and says
 * in the log, the metrics and the health check when a pressure begins and ends. Owns a timer until close(); the spool and
 * the connection to Redis are the caller's.
 */
import type { Config } from "../../../shared/config/schema.ts";
import { type Logger, logEvent, writeEvent } from "../../../shared/runtime/log.ts";
import { createMemoryMeter, type MemoryMeter } from "../../../shared/runtime/memory-meter.ts";
import type { LabelledCounter, Metrics } from "../../../shared/runtime/metrics.ts";
import { memoryShareOf, type RedisHealthConnection } from "../../../shared/runtime/redis-health.ts";
import { withTimeout } from "../../../shared/runtime/with-timeout.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import {
  decideAdmission,
  findPressures,
  type PressureName,
  type Pressures,
  pressureNames,
  type Request,
  type Thresholds,
} from "./decide-admission.ts";

export interface AdmissionOptions {
  /** Read at each decision: a reload may change it. */
  readonly limits: Pick<Config["limits"], "connections" | "pressure">;
  spool: Pick<Spool, "pressure">;
  /** Absent: its memory is not watched. */
  redis?: RedisHealthConnection;
  log: Logger;
  metrics?: Metrics;
  /** For tests. */
  memory?: MemoryMeter;
  measureEveryMs?: number;
}

export interface Admission {
  /** @returns the reply to MAIL that refuses the message; `undefined` when it may come */
  refuseMail(declaredOctets: number): Reply | undefined;
  /** Counts a connection until released() is called. @returns whether it is to be refused, and is not counted */
  refuseConnection(): boolean;
  released(): void;
  /** Refuses everything new, since the host is taken out of service. @param reason  absent: it is in service */
  drain(reason: string | undefined): void;
  /** How many connections are counted. */
  readonly connections: number;
  /** What there is too much of now, with one line for operators each. */
  pressures(): ReadonlyMap<PressureName, string>;
  close(): void;
}

/** A pressure, from its beginning to its end. */
interface Episode {
  reason: string;
  sinceMs: number;
  refused: number;
}

const measureEveryMs = 1000;
const redisAnswerMs = 800;

/** @param isUnder  whether there is too much of it now */
export function createPressureMetrics(
  isUnder: (name: PressureName) => boolean,
  metrics?: Metrics,
): LabelledCounter | undefined {
  metrics?.gauge(
    "pressure",
    "1: there is too much of it (storage, memory, Redis' memory, connections; draining: the host is out of service), and mail is refused until there is less. `pressure.begin` in the log says how much; see limits.pressure.",
    () => new Map(pressureNames.map((name) => [name, isUnder(name) ? 1 : 0])),
    ["pressure"],
    "max",
  );
  return metrics?.counter(
    "pressure_refusals_total",
    "Connections and messages refused because there is too much of them, by what there is too much of. Clients keep their mail and come back.",
    ["pressure"],
  );
}

export function createAdmission(options: AdmissionOptions): Admission {
  const { spool, redis, log, metrics, memory = createMemoryMeter() } = options;
  const thresholds = (): Thresholds => ({
    ...options.limits.pressure,
    connections: options.limits.connections,
  });
  const episodes = new Map<PressureName, Episode>();
  const refusals = createPressureMetrics((name) => episodes.has(name), metrics);
  let connections = 0;
  let redisShare: number | undefined;
  let memoryShare = memory.share();
  let isAskingRedis = false;
  let draining: string | undefined;

  function measure(): Pressures {
    const measured = { storage: spool.pressure(), redisShare, memoryShare, connections, draining };
    const found = findPressures(measured, thresholds(), episodes);
    for (const [name, reason] of found.active) {
      const episode = episodes.get(name);
      if (episode === undefined) begin(name, reason);
      else episode.reason = reason;
    }
    for (const [name, episode] of episodes) if (!found.active.has(name)) end(name, episode);
    return found;
  }

  function begin(name: PressureName, reason: string): void {
    episodes.set(name, { reason, sinceMs: performance.now(), refused: 0 });
    writeEvent(log, "warn", { event: "pressure.begin", pressure: name, reason });
  }

  function end(name: PressureName, { sinceMs, refused }: Episode): void {
    episodes.delete(name);
    const ms = Math.round(performance.now() - sinceMs);
    logEvent(log, { event: "pressure.end", pressure: name, ms, refused });
  }

  function refuse(request: Request): Reply | undefined {
    const decision = decideAdmission(measure(), request);
    if (decision.kind === "accept") return undefined;
    const { pressure = "disk-full" } = decision;
    refusals?.with(pressure).add();
    const episode = episodes.get(pressure);
    if (episode !== undefined) episode.refused++;
    return decision.reply;
  }

  async function askRedis(): Promise<void> {
    if (redis === undefined || options.limits.pressure.redis_memory === 0 || isAskingRedis) return;
    isAskingRedis = true;
    try {
      redisShare = memoryShareOf(await withTimeout(redis.info("memory"), redisAnswerMs));
    } catch {
      // Out of reach: mail waits in the spool.
      redisShare = undefined;
    } finally {
      isAskingRedis = false;
    }
  }

  const timer = setInterval(() => {
    void askRedis();
    if (episodes.has("memory")) memory.collectGarbage();
    memoryShare = memory.share();
    measure();
  }, options.measureEveryMs ?? measureEveryMs).unref();
  void askRedis();

  return {
    refuseMail: (declaredOctets) => refuse({ step: "mail", declaredOctets }),
    refuseConnection() {
      const limit = options.limits.connections;
      const isOver = limit > 0 && connections >= limit;
      if (refuse({ step: "connect", isOver }) !== undefined) return true;
      connections++;
      return false;
    },
    released() {
      connections--;
    },
    drain(reason) {
      if (reason === draining) return;
      draining = reason;
      measure();
    },
    get connections() {
      return connections;
    },
    pressures: () => measure().active,
    close() {
      clearInterval(timer);
    },
  };
}
