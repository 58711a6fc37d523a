/** Runs one service as a process: health, metrics, announcement, signals, and the end. It owns all of these; the process ends with them. */
import type { Config } from "../config/schema.ts";
import { announceService } from "./announcement.ts";
import { type HealthServer, healthInTime, startHealthServer } from "./health-server.ts";
import { createLogger, type Logger } from "./log.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import type { Health, RunningService } from "./service.ts";

export interface ServiceContext {
  config: Config;
  /** Where the configuration came from; for messages. */
  configFile: string;
  log: Logger;
  metrics: Metrics;
}

export interface RunOptions {
  config: Config;
  configFile: string;
  /** For current transactions after SIGTERM. */
  graceMs: number;
  /** `false` for a service that answers /health itself, and then says where. */
  health?: false;
  /** With `health: false`: where the service answers, once it runs. */
  url?: (service: RunningService) => string | null;
  log?: Logger;
}

/** What may follow the grace time: writing what is in memory, closing files. */
const afterGraceMs = 3_000;

/**
 * Starts the service and ends the process with it: 0 after SIGTERM or SIGINT, 1 when it cannot start, when an error
 * surfaces that nobody caught (the supervisor starts it anew, and the spool has what was accepted), and on a second
 * signal. Resolves when the service runs.
 */
export async function runService(
  name: string,
  start: (context: ServiceContext) => Promise<RunningService>,
  options: RunOptions,
): Promise<void> {
  const { config, configFile, graceMs } = options;
  const log = options.log ?? createLogger(name);
  const metrics = createMetrics(name);
  let service: RunningService | undefined;
  let server: HealthServer | undefined;
  let announced: { close(): Promise<void> } | undefined;
  let stopping = false;

  const die = (message: string) => (error: unknown) => {
    log.fatal({ err: error }, message);
    process.exit(1);
  };
  process.on("uncaughtException", die("an error that nobody caught"));
  process.on("unhandledRejection", die("a rejection that nobody handled"));

  const health = async (): Promise<Health> => {
    if (stopping) return { ready: false, reasons: ["stopping"] };
    if (service === undefined) return { ready: false, reasons: ["starting"] };
    return service.health();
  };

  const stop = async (signal: string): Promise<void> => {
    if (stopping) {
      log.warn({ signal }, "asked again to stop: ending at once");
      process.exit(1);
    }
    stopping = true;
    log.info({ signal, graceMs }, "stopping");
    const late = setTimeout(() => {
      log.warn("did not stop within the grace time: ending");
      process.exit(0);
    }, graceMs + afterGraceMs);
    try {
      await service?.close(graceMs);
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
  // A supervisor that was killed cannot stop its services: they see its end by the channel to it.
  process.on("disconnect", () => void stop("the supervisor is gone"));

  try {
    if (options.health !== false) server = await startHealthServer(config.health, health, metrics);
    service = await start({ config, configFile, log, metrics });
  } catch (error) {
    return die("could not start")(error);
  }
  const url = server?.url ?? options.url?.(service) ?? null;
  if (config.redis !== undefined) {
    const inTime = (): Promise<Health> => healthInTime(health);
    announced = announceService({ redis: config.redis, name, url, log, health: inTime });
  }
  log.info({ ...(url === null ? {} : { health: `${url}/health` }) }, "running");
  process.send?.({ kind: "up", listening: service.listening ?? [] });
}
