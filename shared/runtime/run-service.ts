/** Runs one service as a process. Owns its health server, metrics, announcement and signal handlers; the process ends with them. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { LoadedConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import type { Service } from "../config/takes-effect.ts";
import { describeFault, faultFields, type SpoolFault } from "../spool/fault.ts";
import type { FileFault, Spool } from "../spool/spool.ts";
import { announceService, type Reloading } from "./announcement.ts";
import type { Draining } from "./drain.ts";
import { type FileWatch, watchFiles } from "./file-watch.ts";
import { removeHealthFile, writeHealthFile } from "./health-file.ts";
import { type Health, type HealthServer, healthInTime, startHealthServer } from "./health-server.ts";
import type { Commit } from "./live.ts";
import { LiveConfiguration, type ValidConfig } from "./live-configuration.ts";
import { createLogger, type Logger } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { openSpool } from "./open-spool.ts";
import { registerProcessMetrics, version } from "./process-metrics.ts";
import type { RedisConfig } from "./redis.ts";
import { createSpoolMetrics } from "./spool-metrics.ts";
import { type CannotStartMessage, whyCannotStart } from "./start-failure.ts";
import { createTracing, type Tracing } from "./tracing.ts";
import { answerSupervisor, askForRestart, sendLastMetrics } from "./worker-channel.ts";

export interface ServiceContext {
  config: Config;
  /** The file that the configuration was read from, for messages. */
  configFile: string;
  log: Logger;
  metrics: Metrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
}

/** For a service that works on the spool and on Redis. */
export interface SpoolContext extends ServiceContext {
  redis: RedisConfig;
  spool: Spool;
  /** The durable copy of the hold rules, beside the spool. */
  holdsFile: string;
}

export interface RunningService {
  /** Where people and programs can reach it, for the start-up lines: `submission smtp://127.0.0.1:2525`. */
  listening?: string[];
  health(): Health | Promise<Health>;
  /**
   * Makes ready what another configuration needs. The commit puts it in force for new sessions and attempts; those that
   * run end with the configuration that they began with. Without a commit nothing changes.
   * @throws Error when it cannot be had; the configuration before stays in force
   */
  prepare(config: Config): Promise<Commit>;
  /** Of a service with clients: how it follows that its host is taken out of service. */
  draining?: Draining;
  /** Of a service that schedules mail: messages that are in the spool and not in the queues yet. */
  unscheduled?(): number;
  /** Accepts nothing new, lets current transactions finish for up to `graceMs`, then ends them. */
  close(graceMs: number): Promise<void>;
  /** How long close() may take instead of `graceMs`. */
  longestStopMs?(graceMs: number): number;
}

export interface RunOptions {
  config: Config;
  configFile: string;
  /** How `config` was read, and is read again. Absent: it never is. */
  source?: ConfigSource;
  /** How long current transactions may go on after SIGTERM. */
  graceMs: number;
  /** `false` for a service that answers /health on a server of its own. */
  health?: false;
  /** With `health: false`: the URL of that server, once the service runs. */
  url?: (service: RunningService) => string | null;
  /** Gets address and port of /health, for a container's health check. */
  healthFile?: string | undefined;
  log?: Logger;
  /** Descriptors of listening sockets that were opened for it: by systemd, or before it changed its user. */
  sockets?: readonly number[];
  /** Present: it is one of several processes that a supervisor speaks for. */
  worker?: {
    /** Where the supervisor answers /health and /metrics. */
    url: string;
    /** How many there are. */
    of: number;
  };
}

export interface ConfigSource {
  loaded: ValidConfig;
  /** @param before  present: read the files that it names again, and leave its text as it is */
  load(before?: ValidConfig): LoadedConfig;
}

/** Of Postern: that of package.json. */
function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return String((JSON.parse(text) as { version: unknown }).version);
}

/** For writing out buffers and closing files after the grace time. */
const afterGraceMs = 3_000;

/**
 * Starts a service, resolves when it runs, and ends the process with it. Exit status 0 after SIGTERM or SIGINT; 1 when the
 * service cannot start, at a second signal, and at an uncaught error: the supervisor restarts the process, and accepted
 * mail is in the spool.
 */
export async function runService(
  name: Service,
  start: (context: ServiceContext) => Promise<RunningService>,
  options: RunOptions,
): Promise<void> {
  const { config, configFile, graceMs, healthFile, source } = options;
  const log = options.log ?? createLogger(name, undefined, config.log.format);
  const metrics = createMetrics(name);
  const processMetrics = registerProcessMetrics(metrics);
  let service: RunningService | undefined;
  let server: HealthServer | undefined;
  /** Where others reach the service. */
  let url: string | null = null;
  let tracing: Tracing | undefined;
  let announced: { close(): Promise<void> } | undefined;
  let live: LiveConfiguration | undefined;
  let watch: FileWatch | undefined;
  let stopping = false;

  const die = (message: string) => (error: unknown) => {
    log.fatal({ err: error }, message);
    process.exit(1);
  };
  process.on("uncaughtException", die("uncaught error"));
  process.on("unhandledRejection", die("unhandled rejection"));

  const health = async (): Promise<Health> => {
    if (stopping) return { ready: false, reasons: ["stopping"] };
    if (service === undefined) return { ready: false, reasons: ["starting"] };
    const health = await service.health();
    return { ...health, warnings: [...(health.warnings ?? []), ...(live?.warnings() ?? [])] };
  };

  const stop = async (signal: string): Promise<void> => {
    if (stopping) {
      log.warn({ signal }, "second signal: exiting at once");
      process.exit(1);
    }
    stopping = true;
    watch?.close();
    log.info({ signal, graceMs }, "stopping");
    const late = setTimeout(
      () => {
        log.warn("did not stop within the grace time: exiting");
        process.exit(0);
      },
      (service?.longestStopMs?.(graceMs) ?? graceMs) + afterGraceMs,
    );
    try {
      await service?.close(graceMs);
      await tracing?.close();
      if (options.worker !== undefined) await sendLastMetrics(metrics);
      await announced?.close();
      await server?.close();
    } catch (error) {
      log.error({ err: error }, "could not stop cleanly");
    }
    clearTimeout(late);
    log.info("stopped");
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));
  process.on("SIGHUP", () => {
    void live?.reload({ kind: "signal" });
  });
  // Without a handler it would end the process.
  process.on("SIGUSR2", () => {
    log.warn("SIGUSR2: there are no workers to restart one after another; --workers 2 or more starts them");
  });
  // A supervisor that was killed cannot signal its services; they notice that the channel to it is closed.
  process.on("disconnect", () => void stop("the supervisor is gone"));
  const inTime = (): Promise<Health> => healthInTime(health);
  if (options.worker !== undefined) {
    const stopOnce = (): void => {
      if (!stopping) void stop("the supervisor");
    };
    answerSupervisor({ health: inTime, metrics, stop: stopOnce });
  }

  try {
    if (healthFile !== undefined) removeHealthFile(healthFile);
    if (options.health !== false && options.worker === undefined) {
      server = await startHealthServer(config.health, health, metrics, name);
      if (healthFile !== undefined) writeHealthFile(healthFile, { ...config.health, port: server.port });
    }
    if (config.tracing !== undefined) {
      const { tracing: metrics } = processMetrics;
      const about = { tracing: config.tracing, service: name, hostname: config.hostname, version };
      tracing = await createTracing({ ...about, metrics, log });
    }
    service = await start({
      config,
      configFile,
      log,
      metrics,
      ...(tracing === undefined ? {} : { tracing }),
    });
    url = server?.url ?? options.worker?.url ?? options.url?.(service) ?? null;
    if (healthFile !== undefined && server === undefined && url !== null)
      writeHealthFile(healthFile, { ...config.admin, port: Number(new URL(url).port || 80) });
  } catch (error) {
    const reason = whyCannotStart(error);
    if (reason === undefined) return die("could not start")(error);
    log.fatal(`cannot start: ${reason}`);
    const exit = () => process.exit(1);
    return process.send === undefined
      ? exit()
      : void process.send({ kind: "cannot-start", reason } satisfies CannotStartMessage, exit);
  }
  if (source !== undefined) {
    const { prepare } = service;
    const ofWorker = options.worker === undefined ? {} : { restartWorkers: askForRestart };
    live = new LiveConfiguration({
      service: name,
      log,
      prepare: (next) => prepare(next),
      ...ofWorker,
      ...source,
    });
    watch = watchConfigFiles(live, log);
  }
  if (config.redis !== undefined) {
    announced = announceService({
      redis: config.redis,
      name,
      url,
      log,
      version: packageVersion(),
      metrics,
      health: inTime,
      onWritten: processMetrics.redisWritten,
      draining: service.draining,
      unscheduled: service.unscheduled,
      ...(live === undefined ? {} : { reloading: reloadingOf(live) }),
    });
  }
  log.info({ ...(url === null ? {} : { health: `${url}/health` }) }, "running");
  process.send?.({ kind: "up", listening: service.listening ?? [] });
}

function watchConfigFiles(live: LiveConfiguration, log: Logger): FileWatch {
  return watchFiles({
    files: () => live.files,
    readAtMs: () => live.readAtMs,
    changed(files) {
      log.info({ files }, "changed files are read again");
      return live.reload({ kind: "files" });
    },
  });
}

function reloadingOf(live: LiveConfiguration): Reloading {
  return { outcome: () => live.outcome, reload: (request) => live.reload({ kind: "request", ...request }) };
}

/** Runs a service with a spool and Redis as runService() does. Owns the spool, which is closed after the service. */
export function runWithSpool(
  name: Service,
  start: (context: SpoolContext) => Promise<RunningService>,
  options: RunOptions,
): Promise<void> {
  return runService(
    name,
    async (context) => {
      const { config, log, metrics } = context;
      if (config.redis === undefined) throw new Error(`${name} needs redis.url`);
      const directory = path.join(config.data, "spool");
      const spoolMetrics = createSpoolMetrics(metrics);
      const onFault = (fault: SpoolFault): void => {
        spoolMetrics.fault(fault.kind);
        log.error(faultFields(fault), describeFault(fault));
      };
      const { spool, giveUp } = await openSpool({ config, directory, onFault, metrics: spoolMetrics, log });
      const holdsFile = path.join(directory, "holds.json");
      const redis = { ...config.redis, shards: config.queue.shards };
      const service = await start({ ...context, redis, spool, holdsFile });
      return {
        ...service,
        async health() {
          const health = await service.health();
          return { ...health, warnings: [...(health.warnings ?? []), ...fileWarnings(spool.faults())] };
        },
        async close(graceMs) {
          giveUp();
          await service.close(graceMs);
          await spool.close();
        },
      };
    },
    options,
  );
}

/** One line for all files: a disk that fails may have thousands. */
export function fileWarnings(faults: readonly FileFault[]): string[] {
  const [first] = faults;
  if (first === undefined) return [];
  const more = faults.length === 1 ? "" : `, and ${faults.length - 1} more files`;
  return [`the spool cannot read ${first.place} (${first.reason})${more}; everything else is read`];
}
