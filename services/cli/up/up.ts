/**
 * `postern up`: runs every service on this machine as a child process, with an embedded Redis when none is configured.
 * Owns the children and the embedded Redis; a stop signal ends the services first and Redis last.
 */
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { listenDescriptors } from "../../../shared/config/listen-descriptors.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { withNetAdmin } from "../../../shared/runtime/capabilities.ts";
import { createLogger, type Logger } from "../../../shared/runtime/log.ts";
import { becomeUser, openListeners, usesClientAddresses } from "../../../shared/runtime/privileges.ts";
import { CannotStart, orCannotUse } from "../../../shared/runtime/start-failure.ts";
import { defineCommand } from "../command-line/command.ts";
import {
  graceMs,
  graceOption,
  requireConfig,
  userOption,
  workerCount,
  workersOption,
} from "../command-line/common-options.ts";
import { type Child, type ChildSettings, superviseChild } from "../processes/child.ts";
import { lockDirectory } from "./directory-lock.ts";
import { readableLine } from "./log-lines.ts";
import { type EmbeddedRedis, startEmbeddedRedis } from "./redis-server.ts";

/** In the order in which they are started. */
const services = ["ingress", "delivery", "bounce", "admin"] as const;
/** So many of the first have workers. */
const withWorkers = 2;
const lastPort = 65_535;

export const command = defineCommand({
  details:
    "SIGTERM or Ctrl-C stops everything gently; once more stops it at once. SIGHUP reads files again. SIGUSR2 restarts the workers of ingress and delivery one after another, without a refused connection.",
  usage: "[--workers N] [--grace 30s] [--log text|json] [--user NAME]",
  options: {
    workers: {
      ...workersOption,
      help: "processes of ingress, and of delivery; default: a quarter of the processors, at least 1",
    },
    grace: graceOption,
    user: userOption,
    log: {
      type: "string",
      value: "text|json",
      choices: ["text", "json"],
      help: "text for people, json for programs; default: text on a terminal, else json",
    },
  },
  examples: [
    ["with ./postern.yaml", "up"],
    ["under a service manager that reads JSON", "up -c /etc/postern/postern.yaml --log json"],
    ["with port 25, started by root", "up -c /etc/postern/postern.yaml --user postern"],
    ["on a machine that carries much mail", "up --workers 4"],
  ],
  run(context, values) {
    const { config, file } = requireConfig(context);
    const log = (values.log ?? (process.stdout.isTTY ? "text" : "json")) as UpOptions["log"];
    const { user } = values;
    const workers = values.workers === undefined ? defaultWorkers() : workerCount(values.workers);
    return runEverything({ config, configFile: file, graceMs: graceMs(values.grace), log, user, workers });
  },
});

interface UpOptions {
  config: Config;
  configFile: string;
  graceMs: number;
  /** `text` for people, `json` for programs. */
  log: "text" | "json";
  /** Whom root becomes. */
  user: string | undefined;
  /** Of ingress, and of delivery. */
  workers: number;
}

/** Everything shares the machine: one process of each service and Redis keep up to four processors busy. */
function defaultWorkers(): number {
  return Math.max(1, Math.floor(availableParallelism() / 4));
}

/** @returns the exit status, once a signal has stopped everything */
async function runEverything(options: UpOptions): Promise<number> {
  const { config, graceMs } = options;
  const colour = options.log === "text" && process.stdout.isTTY === true;
  const print =
    options.log === "json"
      ? undefined
      : (line: string): void => {
          process.stdout.write(`${readableLine(line.trimEnd(), colour)}\n`);
        };
  const log = createLogger("up", print && { write: print });

  const data = resolve(config.data);
  let unlock: (() => void) | undefined;
  let redis: EmbeddedRedis | undefined;
  const children: Child[] = [];
  const stop = stopSignal(log);
  process.on("SIGHUP", () => {
    log.info("SIGHUP: the services read the configuration again");
    for (const child of children) child.signal("SIGHUP");
  });
  process.on("SIGUSR2", () => {
    log.info("SIGUSR2: the workers of ingress and delivery are restarted one after another");
    if (options.workers === 1) log.warn("there is one of each: --workers 2 or more starts them");
    else for (const child of children.slice(0, withWorkers)) child.signal("SIGUSR2");
  });
  try {
    const sockets = takeSockets(config, data, options.user);
    unlock = takeDirectory(data);
    if (config.redis === undefined) redis = await startEmbeddedRedis(join(data, "redis"), log, stop);
    for (const name of services) {
      if (stop.aborted) break;
      const args = serviceArguments(name, options, redis, sockets);
      children.push(
        superviseChild({ program, args, name, ...inherited(name, options, sockets) }, print, log),
      );
    }
    await Promise.race([stopped(stop), announce(children, config, redis, log)]);
    await stopped(stop);
    return 0;
  } catch (error) {
    if (!(error instanceof CannotStart)) throw error;
    process.stderr.write(`postern: ${error.message}\n`);
    return 1;
  } finally {
    await Promise.all(children.map((child) => child.stop(graceMs)));
    await redis?.stop();
    unlock?.();
  }
}

/** Gets the sockets of the listeners, which the ingress will have, and then becomes the user. @throws CannotStart */
function takeSockets(config: Config, data: string, user: string | undefined): number[] {
  const given = listenDescriptors();
  if (user === undefined) return given;
  const opened = given.length > 0 ? given : openListeners(config);
  becomeUser(user, data, usesClientAddresses(config));
  return opened;
}

/** What a service has of this process. Two of them connect to servers, from clients' addresses where that is configured. */
function inherited(name: string, { config, user }: UpOptions, sockets: number[]): Partial<ChildSettings> {
  const connects = (name === "ingress" || name === "delivery") && usesClientAddresses(config);
  const start = user !== undefined && connects ? { start: withNetAdmin } : {};
  if (name !== "ingress" || sockets.length === 0) return start;
  return { ...start, sockets };
}

/** Makes the data directory and locks it. @returns what unlocks it @throws CannotStart */
function takeDirectory(data: string): () => void {
  const unlock = orCannotUse(data, () => {
    mkdirSync(data, { recursive: true });
    return lockDirectory(data);
  });
  if (unlock === undefined) throw new CannotStart(`another 'postern up' is running on ${data}`);
  return unlock;
}

const program = fileURLToPath(new URL("../main.ts", import.meta.url));

function serviceArguments(
  name: string,
  options: UpOptions,
  redis: EmbeddedRedis | undefined,
  sockets: number[],
): string[] {
  return [
    name,
    "-c",
    options.configFile,
    "--grace",
    `${Math.ceil(options.graceMs / 1000)}s`,
    "--health-port",
    String(healthPort(name, options.config.health.port)),
    ...(redis ? ["--redis", redis.url] : []),
    ...(name === "ingress" && sockets.length > 0 ? ["--listen-fds", String(sockets.length)] : []),
    ...(name === "ingress" || name === "delivery" ? ["--workers", String(options.workers)] : []),
  ];
}

/**
 * The services share the machine: ingress gets `health.port`, delivery and bounce the ports after it. The admin answers
 * at its own.
 */
function healthPort(name: string, first: number): number {
  if (first === 0) return 0;
  if (first > lastPort - 2)
    throw new CannotStart(`health.port: ${first} leaves no ports for delivery and bounce`);
  return first + Math.max(0, (services as readonly string[]).indexOf(name));
}

/** Logs the listening addresses once every service is up, and a command to try them. */
async function announce(
  children: Child[],
  config: Config,
  redis: EmbeddedRedis | undefined,
  log: Logger,
): Promise<void> {
  const ups = await Promise.all(children.map((child) => child.up));
  const listening = ups.flatMap((service) => service.listening);
  for (const line of listening) log.info(`listening: ${line}`);
  if (redis) log.info(`redis: redis-cli -s ${redis.url.slice("unix://".length)}`);
  const smtp = listening
    .map((line) => /smtp:\/\/(\S+)$/.exec(line)?.[1])
    .find((address) => address !== undefined);
  if (smtp !== undefined && config.listeners.some((listener) => listener.destination === "self")) {
    log.info(`try: swaks --server ${smtp} --from you@example.net --to postmaster@example.com`);
  }
}

/** Aborts at the first SIGINT or SIGTERM; a second one exits at once, and the services stop with this process. */
function stopSignal(log: Logger): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(1);
      log.info(`${signal}: stopping; send it again to stop at once`);
      controller.abort();
    });
  }
  return controller.signal;
}

function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
