/** The Redis of the run: real, append-only, in a directory of its own. Owns the process; stop() ends it. */
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import type { Random } from "../random.ts";
import { SupervisedProgram } from "./supervised.ts";

export interface ChaosRedis {
  url: string;
  program: SupervisedProgram;
  /** One command whose arguments have no spaces. @returns the raw reply @throws Error when nothing answers */
  command(line: string): Promise<string>;
  /** Keeps a copy of its files as they are now. */
  keepDump(): void;
  hasDump(): boolean;
  /** Kills it; it comes back with the files of keepDump(). */
  restoreDump(): void;
}

export function startChaosRedis(options: {
  directory: string;
  /** For the old copy of its files; not on the disk of the run, which may be full. */
  dump: string;
  random: Random;
  env: NodeJS.ProcessEnv;
  onLine(line: string): void;
}): ChaosRedis {
  const { directory, dump, random } = options;
  mkdirSync(directory, { recursive: true });
  const socket = join(directory, "redis.sock");
  const files = join(directory, "appendonlydir");
  let isRestoring = false;
  const program = new SupervisedProgram({
    name: "redis",
    command: "redis-server",
    args: [
      ["--port", "0", "--unixsocket", socket, "--dir", directory, "--daemonize", "no"],
      ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"],
      ["--maxmemory-policy", "noeviction", "--aof-load-truncated", "yes"],
      ["--hash-max-listpack-value", "2048"],
    ].flat(),
    env: options.env,
    onLine: options.onLine,
    restartMs: () => random.between(200, 2_000),
    beforeStart() {
      rmSync(socket, { force: true });
      if (!isRestoring) return;
      isRestoring = false;
      rmSync(files, { recursive: true, force: true });
      try {
        cpSync(dump, files, { recursive: true });
      } catch {
        // The disk is full at the moment: Redis comes back empty, which the gateway must outlive as well.
        rmSync(files, { recursive: true, force: true });
      }
    },
  });
  return {
    url: `unix://${socket}`,
    program,
    command: (line) => ask(socket, line),
    keepDump() {
      rmSync(dump, { recursive: true, force: true });
      try {
        cpSync(files, dump, { recursive: true });
      } catch {
        // Redis replaces its files meanwhile: the next dump is whole.
        rmSync(dump, { recursive: true, force: true });
      }
    },
    hasDump: () => existsSync(dump),
    restoreDump() {
      isRestoring = true;
      program.signal("SIGKILL");
    },
  };
}

function ask(socketPath: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = "";
    const socket = net.connect(socketPath);
    socket.setTimeout(10_000, () => socket.destroy(new Error("Redis does not answer")));
    socket.on("data", (chunk) => {
      reply += chunk.toString("utf8");
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(reply));
    socket.write(`${command}\r\nQUIT\r\n`);
  });
}
