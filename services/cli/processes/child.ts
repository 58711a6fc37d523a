/**
 * Supervises one child process, a service of `postern up` or one worker of a service: gives up when it cannot start,
 * restarts it when it exits later, and stops it within the grace time.
 * Owns the process. The child stops by itself when the IPC channel to this process closes.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createInterface } from "node:readline";
import { longestStopMs } from "../../../shared/runtime/interruption.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import { CannotStart, isCannotStart } from "../../../shared/runtime/start-failure.ts";
import {
  isWorkerReport,
  type WorkerReport,
  type WorkerRequest,
} from "../../../shared/runtime/worker-messages.ts";

/** A service that exits after a shorter time is restarted after a delay, which doubles each time. */
const healthyAfterMs = 10_000;
const firstDelayMs = 250;
const maxDelayMs = 30_000;
/** A service ends itself 3 s after its longest stop: see run-service.ts. */
const killWorkerAfterMs = 4_000;
/** A service with workers may have to kill them first. */
const killServiceAfterMs = 5_000;

export interface Child {
  /** Resolves when the service first reports that it is up. Rejects with CannotStart when it says why not, or ends before. */
  readonly up: Promise<ServiceUp>;
  /** Of the process that is up; `undefined` while there is none. */
  readonly pid: number | undefined;
  /** Sends it SIGHUP, by which it reads its configuration again, or SIGUSR2, by which it restarts its workers. */
  signal(name: "SIGHUP" | "SIGUSR2"): void;
  send(request: WorkerRequest): void;
  /** Stops it gently, and sends SIGKILL when it does not end by itself. */
  stop(graceMs: number): Promise<void>;
}

/** For the supervisor of a worker. */
export interface WorkerEvents {
  onReport(report: WorkerReport, pid: number): void;
  onExit(pid: number): void;
}

/** The message of a service to its supervisor when it is running. */
export interface ServiceUp {
  kind: "up";
  /** Its addresses, for people: `submission smtp://127.0.0.1:2525`. */
  listening: string[];
}

export interface ChildSettings {
  program: string;
  args: string[];
  name: string;
  /** Descriptors that the child has too, from 3 on. */
  sockets?: readonly number[];
  /** Starts the process with what it needs. */
  start?: (<T>(fork: () => T) => T) | undefined;
  /** Present: it is a worker, which is stopped by a message. */
  worker?: WorkerEvents;
}

/** @param onLine  gets each line of the child's standard output and error; absent: the child inherits ours */
export function superviseChild(
  { program, args, name, sockets = [], start: startProcess = (fork) => fork(), worker }: ChildSettings,
  onLine: ((line: string) => void) | undefined,
  log: Logger,
): Child {
  let stopping = false;
  let delayMs = firstDelayMs;
  let restart: NodeJS.Timeout | undefined;
  let child: ChildProcess | undefined;
  /** Before that the signal would end it. */
  let isUp = false;
  const up = Promise.withResolvers<ServiceUp>();
  let hasBeenUp = false;

  const start = (): void => {
    const startedAtMs = Date.now();
    // Detached, so that Ctrl-C reaches the supervisor only, which stops the services before Redis.
    const output = onLine === undefined ? "inherit" : "pipe";
    const started = startProcess(() =>
      fork(program, args, { stdio: ["ignore", output, output, ...sockets, "ipc"], detached: true }),
    );
    child = started;
    for (const stream of [started.stdout, started.stderr]) {
      if (stream && onLine) createInterface({ input: stream }).on("line", onLine);
    }
    started.on("message", (message) => {
      if (isWorkerReport(message)) worker?.onReport(message, started.pid ?? 0);
      else if (isServiceUp(message)) {
        isUp = true;
        hasBeenUp = true;
        up.resolve(message);
      } else if (isCannotStart(message) && !hasBeenUp) {
        stopping = true;
        up.reject(new CannotStart(message.reason));
      }
    });
    started.on("error", (error) => log.error({ err: error }, `${name} could not be started`));
    // When it exits, its last report may not have been read.
    let left = 2;
    for (const event of ["exit", "disconnect"])
      started.on(event, () => {
        if (--left === 0) worker?.onExit(started.pid ?? 0);
      });
    started.on("exit", (code, signal) => {
      child = undefined;
      isUp = false;
      if (stopping) return;
      // A signal came from outside: the kernel, say, which lacked memory.
      if (!hasBeenUp && signal === null) {
        stopping = true;
        up.reject(
          new CannotStart(`${name} ended with status ${code} before it was running; its log says why`),
        );
        return;
      }
      if (Date.now() - startedAtMs > healthyAfterMs) delayMs = firstDelayMs;
      log.error({ code, signal, waitMs: delayMs }, `${name} exited; restarting it`);
      restart = setTimeout(start, delayMs);
      delayMs = Math.min(delayMs * 2, maxDelayMs);
    });
  };
  start();
  const send = (request: WorkerRequest): void => {
    // It may end at this moment; what was asked goes without an answer.
    if (child?.connected) child.send(request, () => {});
  };

  return {
    up: up.promise,
    get pid() {
      return isUp ? child?.pid : undefined;
    },
    signal(name) {
      // Before it is up, it would end it.
      if (isUp) child?.kill(name);
    },
    send,
    async stop(graceMs) {
      stopping = true;
      clearTimeout(restart);
      const running = child;
      if (running === undefined) return;
      const ended = new Promise((resolve) => running.once("exit", resolve));
      // A service manager may have sent SIGTERM to all processes: a second one would cut its sessions.
      if (worker !== undefined && isUp) send({ kind: "stop" });
      else running.kill("SIGTERM");
      const last = setTimeout(
        () => {
          log.error(`${name} did not stop within its grace time; killing it`);
          running.kill("SIGKILL");
        },
        longestStopMs(graceMs) + (worker === undefined ? killServiceAfterMs : killWorkerAfterMs),
      );
      await ended;
      clearTimeout(last);
    },
  };
}

function isServiceUp(message: unknown): message is ServiceUp {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "up";
}
