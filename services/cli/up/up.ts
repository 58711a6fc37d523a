/**
 * `postern up`: everything on this machine, each service a child process, with a Redis of its own where none is configured.
 * Owns the children and the embedded Redis; the stop signals end them in order: ingress first, Redis last.
 */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "../../../shared/config/schema.ts";
import { createLogger, type Logger } from "../../../shared/runtime/log.ts";
import { type Child, superviseChild } from "./child.ts";
import { lockDirectory } from "./directory-lock.ts";
import { readableLine } from "./log-lines.ts";
import { type EmbeddedRedis, RedisMissing, startEmbeddedRedis } from "./redis-server.ts";

/** In the order in which they start; they stop in the same order, so that nothing new comes in while the rest finishes. */
const services = ["ingress", "delivery", "bounce", "admin"] as const;

export interface UpOptions {
  config: Config;
  configFile: string;
  graceMs: number;
  /** `text` for people, `json` for machines. */
  log: "text" | "json";
}

/** @returns the exit status, once a signal has stopped everything */
export async function up(options: UpOptions): Promise<number> {
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
  mkdirSync(data, { recursive: true });
  const unlock = lockDirectory(data);
  if (unlock === undefined) {
    process.stderr.write(`postern: another 'postern up' is running on ${data}\n`);
    return 1;
  }
  const stop = stopSignal(log);
  let redis: EmbeddedRedis | undefined;
  const children: Child[] = [];
  try {
    redis = config.redis === undefined ? await startEmbeddedRedis(join(data, "redis"), log) : undefined;
    for (const name of services) {
      children.push(superviseChild(program, serviceArguments(name, options, redis), name, print, log));
    }
    await Promise.race([stop, announce(children, config, redis, log)]);
    await stop;
    return 0;
  } catch (error) {
    if (!(error instanceof RedisMissing)) throw error;
    process.stderr.write(
      "postern: redis-server is not installed: install Debian's package redis-server, or set redis.url\n",
    );
    return 1;
  } finally {
    await Promise.all(children.map((child) => child.stop(graceMs)));
    await redis?.stop();
    unlock();
  }
}

const program = fileURLToPath(new URL("../main.ts", import.meta.url));

function serviceArguments(name: string, options: UpOptions, redis: EmbeddedRedis | undefined): string[] {
  return [
    name,
    "-c",
    options.configFile,
    "--grace",
    `${Math.ceil(options.graceMs / 1000)}s`,
    // On one machine a fixed health port could only serve one of the services.
    "--health-port",
    "0",
    ...(redis ? ["--redis", redis.url] : []),
  ];
}

/** Says what listens once everything is up, and how to try it. */
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

/** Resolves at the first SIGINT or SIGTERM; a second one ends this process at once, and the services with it. */
function stopSignal(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        log.info(`${signal}: stopping; once more to stop at once`);
        resolve();
      });
    }
  });
}
