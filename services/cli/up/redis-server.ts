/**
 * The embedded Redis of `postern up`: append-only, no eviction, reached by a unix socket only.
 * Owns the redis-server process, which is stopped by stop().
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
  /** `unix:///…`, as `redis.url` takes it. */
  url: string;
  stop(): Promise<void>;
}

/**
 * Starts redis-server in `directory` and keeps it running: one that dies is started again.
 * @throws RedisMissing when there is no redis-server on this machine
 * @throws Error when it does not come up within 30 s
 */
export async function startEmbeddedRedis(directory: string, log: Logger): Promise<EmbeddedRedis> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const socket = socketPath(directory);
  if ((await ask(socket, "PING")) !== undefined) {
    // A killed `postern up` left it behind; two servers must not write one append-only file.
    log.warn({ socket }, "a redis-server of an earlier run still holds the data; stopping it");
    await ask(socket, "SHUTDOWN");
    await until("the earlier redis-server to stop", async () => (await ask(socket, "PING")) === undefined);
  }
  let stopping = false;
  let child: ChildProcess;
  let startedAtMs = 0;

  const start = (): ChildProcess => {
    startedAtMs = Date.now();
    rmSync(socket, { force: true });
    // A session of its own: Ctrl-C in the terminal must reach the services first, Redis last.
    const started = spawn("redis-server", serverArguments(directory, socket), {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    for (const stream of [started.stdout, started.stderr]) {
      if (stream) createInterface({ input: stream }).on("line", (line) => relayLine(line, log));
    }
    started.on("exit", (code, signal) => {
      if (stopping) return;
      log.error({ code, signal }, "redis-server ended; starting it again");
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
    until("redis-server to answer", async () => (await ask(socket, "PING"))?.startsWith("+PONG") === true),
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
    // The append-only file has it all; a snapshot would only write everything twice.
    save: "",
    "maxmemory-policy": "noeviction",
    // A job's data is one value of a small hash: kept packed up to this size it takes a quarter less memory.
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

/** Redis' own lines look like `123:M 24 Nov 2026 03:45:33.123 # text`. */
function relayLine(line: string, log: Logger): void {
  const match = /^\d+:\w .{20,24} ([.\-*#]) (.*)$/.exec(line);
  if (!match || match[2] === undefined) return;
  // Its chatter and its advice on kernel settings at each start would bury the lines that matter.
  if (
    /just started|onfiguration loaded|Server initialized|overcommit_memory|Transparent Huge|oO0OoO0/.test(
      match[2],
    )
  )
    return;
  if (/^User requested|ready to exit|Received SIG/.test(match[2])) return;
  if (match[1] === "#") log.warn(`redis: ${match[2]}`);
}

/** One inline command over a connection of its own; `undefined` when nothing answers. */
function ask(socket: string, command: string): Promise<string | undefined> {
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
