/**
 * `postern ingress | delivery --workers N`: the process that supervises the workers of a service and speaks for them. It opens
 * the listening sockets, which all workers accept on, and answers /health and /metrics. Owns these and the workers.
 */
import { fileURLToPath } from "node:url";
import type { LoadedConfig } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { removeHealthFile, writeHealthFile } from "../../../shared/runtime/health-file.ts";
import { type HealthServer, startHealthServer } from "../../../shared/runtime/health-server.ts";
import { type ListeningSockets, openListeningSockets } from "../../../shared/runtime/listening-sockets.ts";
import { createLogger } from "../../../shared/runtime/log.ts";
import { createMetrics } from "../../../shared/runtime/metrics.ts";
import { type CannotStartMessage, whyCannotStart } from "../../../shared/runtime/start-failure.ts";
import { metricsPage } from "../../../shared/runtime/worker-metrics.ts";
import { Replacement } from "./replacement.ts";
import { startWorkers, type WorkerGroup } from "./worker-group.ts";
import { registerWorkerMetrics } from "./worker-group-metrics.ts";

export interface RunWorkersOptions {
  name: "ingress" | "delivery";
  count: number;
  config: Config;
  /** Reads the configuration again. */
  load(): LoadedConfig;
  /** Of a worker, but for its sockets and its supervisor. */
  args: string[];
  /** Descriptors of listening sockets that others have opened. */
  given: readonly number[];
  /** Starts a worker with the capabilities that it needs. */
  start: (<T>(fork: () => T) => T) | undefined;
  graceMs: number;
  /** Where its address is written, for checks of containers. */
  healthFile: string | undefined;
}

const program = fileURLToPath(new URL("../main.ts", import.meta.url));

/** Ends the process, as runService() does. */
export async function runWorkers(options: RunWorkersOptions): Promise<void> {
  const { name, count, config, graceMs, healthFile } = options;
  const log = createLogger(name, undefined, config.log.format);
  const metrics = createMetrics(name, false);
  let group: WorkerGroup | undefined;
  let server: HealthServer | undefined;
  let sockets: ListeningSockets | undefined;
  let replacement: Replacement | undefined;
  let stopping = false;

  const stop = async (signal: string): Promise<void> => {
    if (stopping) {
      log.warn({ signal }, "second signal: exiting at once");
      process.exit(1);
    }
    stopping = true;
    log.info({ signal, graceMs }, "stopping the workers");
    await group?.stop();
    await server?.close();
    log.info("stopped");
    process.exit(0);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop(signal));
  process.on("disconnect", () => void stop("the supervisor is gone"));
  process.on("SIGHUP", () => group?.reload());
  process.on("SIGUSR2", () => void replacement?.request("SIGUSR2"));

  try {
    if (healthFile !== undefined) removeHealthFile(healthFile);
    server = await startHealthServer(
      config.health,
      async () => {
        if (stopping) return { ready: false, reasons: ["stopping"] };
        if (group === undefined) return { ready: false, reasons: ["starting"] };
        const health = await group.health();
        return { ...health, warnings: [...(health.warnings ?? []), ...(replacement?.warnings() ?? [])] };
      },
      {
        contentType: metrics.contentType,
        async text() {
          const { workers, ended } = (await group?.metrics()) ?? { workers: [], ended: [] };
          return metricsPage(workers, ended, await metrics.values());
        },
      },
      name,
    );
    if (healthFile !== undefined) writeHealthFile(healthFile, { ...config.health, port: server.port });
    if (name === "ingress")
      sockets = await openListeningSockets(config.listeners, config.data, options.given);
    const { url } = server;
    group = startWorkers({
      name,
      count,
      log,
      graceMs,
      sockets: sockets?.descriptors ?? [],
      settings: (descriptors) => ({
        program,
        args: [...options.args, ...workerArguments(descriptors, url, count)],
        start: options.start,
      }),
      onRestartNeeded: (keys) => void replacement?.request("reload", keys),
    });
    registerWorkerMetrics(metrics, count, group);
    replacement = new Replacement({ name, log, group, sockets, load: options.load });
    const up = await group.up;
    if (stopping) return;
    log.info({ workers: count, health: `${url}/health` }, "running");
    process.send?.(up);
  } catch (error) {
    if (stopping) return;
    stopping = true;
    await group?.stop();
    const reason = whyCannotStart(error);
    if (reason === undefined) log.fatal({ err: error }, "could not start");
    else log.fatal(`cannot start: ${reason}`);
    const exit = () => process.exit(1);
    if (process.send === undefined || reason === undefined) exit();
    else process.send({ kind: "cannot-start", reason } satisfies CannotStartMessage, exit);
  }
}

function workerArguments(sockets: readonly number[], url: string, count: number): string[] {
  const descriptors = sockets.length === 0 ? [] : ["--listen-fds", String(sockets.length)];
  return [...descriptors, "--workers", String(count), "--worker-of", url];
}
