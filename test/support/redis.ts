/** A redis-server for one test, append-only and without eviction. Owns the process and its directory; the test closes it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { freePort } from "./free-port.ts";

export interface TestRedis {
  /** `unix:///…/redis.sock`, or `redis://127.0.0.1:port/0` when TCP was asked for; the same after restart(). */
  readonly url: string;
  /** Empties Redis with FLUSHALL. */
  flush(): Promise<void>;
  /** Sends one command, whose arguments have no spaces. @returns the raw RESP reply */
  command(line: string): Promise<string>;
  /** Stops Redis with SIGTERM; its data is in the append-only file. Does nothing when it is stopped already. */
  stop(): Promise<void>;
  /** Stops Redis if it is running, and starts it with the same address and files. */
  restart(): Promise<void>;
  /** Sends SIGKILL, like a crash. */
  kill(): Promise<void>;
  /** Sends SIGSTOP: connections stay open without answers. */
  freeze(): void;
  /** Sends SIGCONT. */
  thaw(): void;
  /** Stops Redis and removes its directory. */
  close(): Promise<void>;
}

/**
 * Starts redis-server and waits until it answers.
 * @param transport  `unix` (the default) is faster; `tcp` takes a free port on loopback
 */
export async function startRedis(transport: "unix" | "tcp" = "unix"): Promise<TestRedis> {
  const directory = await mkdtemp(path.join(tmpdir(), "redis-test-"));
  const socketPath = path.join(directory, "redis.sock");
  const port = transport === "tcp" ? await freePort() : 0;
  const where = transport === "tcp" ? { host: "127.0.0.1", port } : { path: socketPath };
  let child: ChildProcess | undefined;
  let closed = false;

  const killAtExit = (): void => {
    child?.kill("SIGKILL");
  };
  process.on("exit", killAtExit);

  const start = async (): Promise<void> => {
    if (closed) throw new Error("this test's Redis is closed");
    const started = spawn(
      "redis-server",
      [
        ["--port", String(port), "--bind", "127.0.0.1"],
        transport === "unix" ? ["--unixsocket", socketPath] : [],
        ["--dir", directory, "--appendonly", "yes", "--appendfsync", "everysec"],
        ["--maxmemory-policy", "noeviction", "--save", "", "--daemonize", "no", "--loglevel", "warning"],
      ].flat(),
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let output = "";
    started.stdout.on("data", (chunk) => {
      output += chunk;
    });
    started.stderr.on("data", (chunk) => {
      output += chunk;
    });
    started.on("error", (error) => {
      output += error.message;
    });
    child = started;
    const deadline = Date.now() + 120_000;
    for (;;) {
      const reply = await ask(where, "PING").catch(() => "");
      if (reply.startsWith("+PONG")) return;
      if (hasEnded(started) || started.pid === undefined || Date.now() > deadline) {
        started.kill("SIGKILL");
        throw new Error(`redis-server did not start: ${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || hasEnded(running)) return;
    running.kill("SIGCONT");
    running.kill(signal);
    await new Promise((resolve) => running.once("exit", resolve));
  };

  await start();
  return {
    url: transport === "tcp" ? `redis://127.0.0.1:${port}/0` : `unix://${socketPath}`,
    async flush() {
      await ask(where, "FLUSHALL");
    },
    command: (line) => ask(where, line),
    stop: () => end("SIGTERM"),
    async restart() {
      await end("SIGTERM");
      await start();
    },
    kill: () => end("SIGKILL"),
    freeze() {
      child?.kill("SIGSTOP");
    },
    thaw() {
      child?.kill("SIGCONT");
    },
    async close() {
      closed = true;
      await end("SIGKILL");
      process.off("exit", killAtExit);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Sends one inline command on a new connection; QUIT makes the server close it after the reply. */
async function ask(where: net.NetConnectOpts, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = "";
    const socket = net.connect(where);
    socket.setTimeout(10_000, () => socket.destroy(new Error("Redis does not answer")));
    socket.on("data", (chunk) => {
      reply += chunk.toString("utf8");
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(reply.replace(/\+OK\r\n$/, (ok) => (reply === ok ? ok : ""))));
    socket.write(`${command}\r\nQUIT\r\n`);
  });
}
