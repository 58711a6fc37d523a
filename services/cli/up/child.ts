/**
 * One service as a child process of `postern up`: started again when it dies, stopped gently.
 * Owns the process; the child ends by itself when this process goes, since its IPC channel closes.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createInterface } from "node:readline";
import type { Logger } from "../../../shared/runtime/log.ts";

/** A service that ran this long before it died is started again at once; a shorter-lived one waits, ever longer. */
const healthyAfterMs = 10_000;
const firstWaitMs = 250;
const longestWaitMs = 30_000;

export interface Child {
  /** Resolves when the service reported for the first time that it is up. */
  readonly up: Promise<ServiceUp>;
  /** SIGTERM, then SIGKILL a little after the grace time. */
  stop(graceMs: number): Promise<void>;
}

/** What a service tells its supervisor over the IPC channel once it is ready. */
export interface ServiceUp {
  kind: "up";
  /** Where it listens, for people: `submission smtp://127.0.0.1:2525`. */
  listening: string[];
}

/** @param onLine  each line of the child's standard output and error; absent: they go where ours go */
export function superviseChild(
  program: string,
  args: string[],
  name: string,
  onLine: ((line: string) => void) | undefined,
  log: Logger,
): Child {
  let stopping = false;
  let waitMs = firstWaitMs;
  let restart: NodeJS.Timeout | undefined;
  let child: ChildProcess | undefined;
  const up = Promise.withResolvers<ServiceUp>();

  const start = (): void => {
    const startedAtMs = Date.now();
    // Detached: Ctrl-C in the terminal reaches the supervisor only, which then stops the services in order.
    const output = onLine === undefined ? "inherit" : "pipe";
    const started = fork(program, args, {
      stdio: ["ignore", output, output, "ipc"],
      detached: true,
    });
    child = started;
    for (const stream of [started.stdout, started.stderr]) {
      if (stream && onLine) createInterface({ input: stream }).on("line", onLine);
    }
    started.on("message", (message) => {
      if (isServiceUp(message)) up.resolve(message);
    });
    started.on("error", (error) => log.error({ err: error }, `${name} could not be started`));
    started.on("exit", (code, signal) => {
      child = undefined;
      if (stopping) return;
      if (Date.now() - startedAtMs > healthyAfterMs) waitMs = firstWaitMs;
      log.error({ code, signal, waitMs }, `${name} ended; starting it again`);
      restart = setTimeout(start, waitMs);
      waitMs = Math.min(waitMs * 2, longestWaitMs);
    });
  };
  start();

  return {
    up: up.promise,
    async stop(graceMs) {
      stopping = true;
      clearTimeout(restart);
      const running = child;
      if (running === undefined) return;
      const ended = new Promise((resolve) => running.once("exit", resolve));
      running.kill("SIGTERM");
      const last = setTimeout(() => {
        log.error(`${name} did not stop within its grace time; killing it`);
        running.kill("SIGKILL");
      }, graceMs + 2000);
      await ended;
      clearTimeout(last);
    },
  };
}

function isServiceUp(message: unknown): message is ServiceUp {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "up";
}
