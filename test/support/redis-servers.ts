/** Processes of redis-server on loopback, each with a port, a directory and a configuration of its own. The test closes them. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { waitFor } from "./wait-for.ts";

export interface RedisProcess {
  readonly port: number;
  /** Sends one command. @returns the raw reply, "" when there is none within a second */
  command(...words: string[]): Promise<string>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP: a server that hangs. */
  pause(): void;
  resume(): void;
  /** Starts it again after kill(), with the files that it left. */
  start(): Promise<void>;
  /** The end of its log, for the message of a failed test. */
  lastLines(): string[];
}

export interface RedisProcesses {
  readonly directory: string;
  /** @param lines  of its configuration. @param login  `AUTH …`, for command() */
  start(
    lines: string[],
    options?: { sentinel?: true; port?: number; login?: string[] },
  ): Promise<RedisProcess>;
  freePort(): Promise<number>;
  close(): Promise<void>;
}

/** Of what a server prints: characters, and lines for the message of a failed test. */
const keptOutput = 20_000;
const keptLines = 25;

export function createRedisProcesses(): RedisProcesses {
  const directory = mkdtempSync(path.join(tmpdir(), "redis-servers-"));
  const running = new Set<ChildProcess>();
  const killAll = (): void => {
    for (const child of running) child.kill("SIGKILL");
  };
  process.on("exit", killAll);

  return {
    directory,
    freePort: freePairOfPorts,
    async start(lines, { sentinel, port: wanted, login } = {}) {
      const port = wanted ?? (await freePairOfPorts());
      const own = path.join(directory, String(port));
      mkdirSync(own);
      const file = path.join(own, "redis.conf");
      // In front, for a sentinel must know its own address before the first group.
      const head = [`bind 127.0.0.1`, `dir ${own}`, "daemonize no", "loglevel notice"];
      const isTls = lines.some((line) => line.startsWith("tls-port"));
      writeFileSync(file, [...head, ...(isTls ? ["port 0"] : [`port ${port}`]), ...lines].join("\n"));
      let child: ChildProcess | undefined;
      let output = "";
      const server: RedisProcess = {
        port,
        command: (...words) => ask(port, isTls, login, words),
        async kill() {
          const killed = child;
          if (killed === undefined || !running.has(killed)) return;
          const ended = new Promise((resolve) => killed.once("exit", resolve));
          killed.kill("SIGKILL");
          await ended;
        },
        pause() {
          child?.kill("SIGSTOP");
        },
        resume() {
          child?.kill("SIGCONT");
        },
        async start() {
          const started = spawn("redis-server", [file, ...(sentinel ? ["--sentinel"] : [])], {
            stdio: ["ignore", "pipe", "pipe"],
          });
          child = started;
          running.add(started);
          started.once("exit", () => running.delete(started));
          for (const stream of [started.stdout, started.stderr])
            stream.on("data", (chunk) => {
              output = (output + chunk).slice(-keptOutput);
            });
          await waitFor(`redis-server at port ${port}`, async () => {
            if (started.exitCode !== null) throw new Error(`redis-server ended: ${output}`);
            // Also a server that refuses to answer strangers has started.
            return (await ask(port, isTls, login, ["PING"])).length > 0;
          });
        },
        lastLines: () => output.trimEnd().split("\n").slice(-keptLines),
      };
      await server.start();
      return server;
    },
    async close() {
      process.off("exit", killAll);
      const ended = [...running].map((child) => new Promise((resolve) => child.once("exit", resolve)));
      killAll();
      await Promise.all(ended);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A server of a cluster takes the port 10000 above its own as well. */
async function freePairOfPorts(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await Promise.all([canListen(port), canListen(port + 10_000)]);
    if (free.every(Boolean)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer().once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function ask(port: number, isTls: boolean, login: string[] | undefined, words: string[]): Promise<string> {
  return new Promise((resolve) => {
    const commands = [...(login === undefined ? [] : [login]), words, ["QUIT"]];
    let reply = "";
    const where = { host: "127.0.0.1", port };
    const socket = isTls ? tls.connect({ ...where, rejectUnauthorized: false }) : net.connect(where);
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on("data", (chunk) => {
      reply += chunk.toString("latin1");
      // A sentinel.
      if (/unknown command .QUIT/i.test(reply)) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(login === undefined ? reply : reply.replace(/^\+OK\r\n/, "")));
    socket.write(commands.map(serialise).join(""));
  });
}

function serialise(words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}
