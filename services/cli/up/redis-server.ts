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

/** sun_path of unix(7) holds 108 octets with the final NUL. */
const maxSocketPath = 107;

export class RedisMissing extends Error {
  override name = "RedisMissing";
}

export interface EmbeddedRedis {
  /** `unix:///…`, a value for `redis.url`. */
  url: string;
  stop(): Promise<void>;
}

/**
 * Starts redis-server in `directory`, and restarts it when it exits.
 * @throws RedisMissing when redis-server is not installed
 * @throws Error when it does not answer within 30 s
 */
export async function startEmbeddedRedis(directory: string, log: Logger): Promise<EmbeddedRedis> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const socket = socketPath(directory);
  if ((await sendCommand(socket, "PING")) !== undefined) {
    // A killed `postern up` left this server behind; two servers must not write the same append-only file.
    log.warn({ socket }, "a redis-server of an earlier run is still running; stopping it");
    await sendCommand(socket, "SHUTDOWN");
    await until(
      "the earlier redis-server to stop",
      async () => (await sendCommand(socket, "PING")) === undefined,
    );
  }
  let stopping = false;
  let child: ChildProcess;
  let startedAtMs = 0;

  const start = (): ChildProcess => {
    startedAtMs = Date.now();
    rmSync(socket, { force: true });
    // Detached, so that Ctrl-C does not stop Redis before the services.
    const started = spawn("redis-server", serverArguments(directory, socket), {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [started.stdout, started.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => relayLine(line, log));
    }
    started.on("exit", (code, signal) => {
      if (stopping) return;
      log.error({ code, signal }, "redis-server exited; restarting it");
      const waitMs = Math.max(0, 1000 - (Date.now() - startedAtMs));
      setTimeout(() => {
        if (!stopping) child = start();
      }, waitMs);
    });
    return started;
  };

  const missing = new Promise<never>((_, reject) => {
    child = start();
    child.once("error", (error: NodeJS.ErrnoException) => {
      stopping = true;
      reject(error.code === "ENOENT" ? new RedisMissing("redis-server is not installed") : error);
    });
  });
  await Promise.race([
    missing,
    until(
      "redis-server to answer",
      async () => (await sendCommand(socket, "PING"))?.startsWith("+PONG") === true,
    ),
  ]);
  return {
    url: `unix://${socket}`,
    async stop() {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      rmSync(socket, { force: true });
    },
  };
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

/** Passes on warnings of Redis, whose lines look like `123:M 24 Nov 2026 03:45:33.123 # text`. */
function relayLine(line: string, log: Logger): void {
  const match = /^\d+:\w .{20,24} ([.\-*#]) (.*)$/.exec(line);
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

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited 30 s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
