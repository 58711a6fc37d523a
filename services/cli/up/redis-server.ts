/**
 * The embedded Redis of `postern up`: append-only, without eviction, on a unix socket only.
 * Owns the redis-server process; stop() ends it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Logger } from "../../../shared/runtime/log.ts";
import { CannotStart, orCannotUse } from "../../../shared/runtime/start-failure.ts";

/** sun_path of unix(7) holds 108 octets with the final NUL. */
const maxSocketPath = 107;

/** How long a redis-server may take to answer, or to stop. */
const patienceMs = 30_000;
/** Between two starts of a server that ends again and again. */
const restartEveryMs = 1_000;
const notInstalled = "redis-server is not installed: install Debian's package redis-server, or set redis.url";

export interface EmbeddedRedis {
  /** `unix:///…`, a value for `redis.url`. */
  url: string;
  stop(): Promise<void>;
}

/**
 * Starts redis-server in `directory`, and restarts it when it exits after it has answered once.
 * @param stop  ends the wait for a server that loads much; the server is the caller's to stop then, too
 * @throws CannotStart when redis-server is not installed, ends at once, or does not answer within 30 s
 */
export async function startEmbeddedRedis(
  directory: string,
  log: Logger,
  stop: AbortSignal = new AbortController().signal,
): Promise<EmbeddedRedis> {
  orCannotUse(directory, () => mkdirSync(directory, { recursive: true, mode: 0o700 }));
  const socket = socketPath(directory);
  if ((await sendCommand(socket, "PING")) !== undefined) {
    // A killed `postern up` left this server behind; two servers must not write the same append-only file.
    log.warn({ socket }, "a redis-server of an earlier run is still running; stopping it");
    await sendCommand(socket, "SHUTDOWN");
    const late = new CannotStart(`the redis-server of an earlier run does not stop: ${socket}`);
    await poll(socket, late, (answer) => answer === undefined);
  }
  const server = new RedisServer(directory, socket, log);
  try {
    await server.start(stop);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { url: `unix://${socket}`, stop: () => server.stop() };
}

/** Runs redis-server, one process after the other. Owns the process; stop() ends it. */
class RedisServer {
  readonly #directory: string;
  readonly #socket: string;
  readonly #log: Logger;
  readonly #failed = Promise.withResolvers<never>();
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #hasAnswered = false;
  #stopping = false;
  /** The reason, when it ends at once. */
  #lastLine = "";

  constructor(directory: string, socket: string, log: Logger) {
    this.#directory = directory;
    this.#socket = socket;
    this.#log = log;
  }

  /**
   * @param stop  ends the wait early
   * @throws CannotStart when the server ends before it answers
   */
  async start(stop: AbortSignal): Promise<void> {
    this.#spawn();
    const late = new CannotStart("redis-server does not answer");
    const isOver = (answer: string | undefined): boolean =>
      stop.aborted || this.#stopping || answer?.startsWith("+PONG") === true;
    await Promise.race([this.#failed.promise, poll(this.#socket, late, isOver)]);
    this.#hasAnswered = true;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
    rmSync(this.#socket, { force: true });
  }

  #spawn(): void {
    const startedAtMs = performance.now();
    rmSync(this.#socket, { force: true });
    // Detached, so that Ctrl-C does not stop Redis before the services.
    const child = spawn("redis-server", serverArguments(this.#directory, this.#socket), {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.#lastLine = withoutPrefix(line) || this.#lastLine;
        relayLine(line, this.#log);
      });
    }
    const ended = (error: CannotStart): void => {
      this.#child = undefined;
      if (this.#stopping) return;
      if (!this.#hasAnswered) {
        this.#failed.reject(error);
        return;
      }
      this.#log.error(`${error.message}; restarting it`);
      const waitMs = Math.max(0, restartEveryMs - (performance.now() - startedAtMs));
      this.#restart = setTimeout(() => this.#spawn(), waitMs);
    };
    child.once("error", (error: NodeJS.ErrnoException) =>
      ended(new CannotStart(error.code === "ENOENT" ? notInstalled : `redis-server: ${error.message}`)),
    );
    // Not at `exit`, when its last line may not have been read.
    child.once("close", (code, signal) => {
      if (this.#child !== child) return;
      const how = signal === null ? `with status ${code}` : `by ${signal}`;
      const why = this.#lastLine === "" ? "" : `: ${this.#lastLine}`;
      ended(new CannotStart(`redis-server ended ${how}${why}`));
    });
  }
}

function serverArguments(directory: string, socket: string): string[] {
  const settings: Record<string, string> = {
    port: "0",
    unixsocket: socket,
    unixsocketperm: "700",
    dir: directory,
    daemonize: "no",
    appendonly: "yes",
    appendfsync: "everysec",
    // The append-only file is complete; snapshots would write everything twice.
    save: "",
    "maxmemory-policy": "noeviction",
    // The data of a job is one value of a small hash, which takes a quarter less memory as a listpack.
    "hash-max-listpack-value": "2048",
    loglevel: "warning",
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

function socketPath(directory: string): string {
  const inside = join(directory, "redis.sock");
  if (Buffer.byteLength(inside) <= maxSocketPath) return inside;
  const name = createHash("sha256").update(directory).digest("hex").slice(0, 16);
  return join(existsSync("/run/user") ? tmpdir() : "/tmp", `postern-${name}.sock`);
}

/** A line of Redis looks like `123:M 24 Nov 2026 03:45:33.123 # text`. */
const logLine = /^\d+:\w .{20,24} ([.\-*#]) (.*)$/;

function withoutPrefix(line: string): string {
  return (logLine.exec(line)?.[2] ?? line).trim();
}

/** Passes on warnings of Redis. */
function relayLine(line: string, log: Logger): void {
  const match = logLine.exec(line);
  if (!match || match[2] === undefined) return;
  // Start-up lines and advice on kernel settings are left out.
  if (
    /just started|onfiguration loaded|Server initialized|overcommit_memory|Transparent Huge|oO0OoO0/.test(
      match[2],
    )
  )
    return;
  if (/^User requested|ready to exit|Received SIG/.test(match[2])) return;
  if (match[1] === "#") log.warn(`redis: ${match[2]}`);
}

/** Sends one inline command on a new connection. @returns `undefined` when nothing answers */
function sendCommand(socket: string, command: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    let answer: string | undefined;
    connection.setTimeout(2000, () => connection.destroy());
    connection.on("error", () => {});
    connection.on("connect", () => connection.write(`${command}\r\n`));
    connection.on("data", (chunk) => {
      answer = chunk.toString("latin1");
      connection.destroy();
    });
    connection.on("close", () => resolve(answer));
  });
}

/**
 * Sends PING until the answer ends the wait. A server that reads a large append-only file gets the time it needs.
 * @throws `late` after half a minute without an answer
 */
async function poll(
  socket: string,
  late: CannotStart,
  isOver: (answer: string | undefined) => boolean,
): Promise<void> {
  let sinceMs = performance.now();
  for (;;) {
    const answer = await sendCommand(socket, "PING");
    if (isOver(answer)) return;
    if (answer?.startsWith("-LOADING")) sinceMs = performance.now();
    if (performance.now() - sinceMs > patienceMs) throw late;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
