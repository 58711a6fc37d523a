/** The whole gateway as a user runs it: `postern up` in a temporary directory. The test stops it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { z } from "zod";
import type { configSchema } from "../../shared/config/schema.ts";
import { freePort } from "./free-port.ts";
import { waitFor } from "./wait-for.ts";

const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

export type ServiceName = "ingress" | "delivery" | "bounce" | "admin";
type ConfigFile = Partial<z.input<typeof configSchema>>;

export interface Gateway {
  directory: string;
  configFile: string;
  /** The port of the listener `submission`, on 127.0.0.1. */
  port: number;
  adminUrl: string;
  /** Path of the embedded Redis' socket. */
  redisSocket: string;
  /** The log so far: one record for each JSON line. */
  log(): Record<string, unknown>[];
  /** Runs a command of postern with this gateway's configuration. */
  postern(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  /** Sends SIGKILL; the supervisor restarts the service. */
  kill(service: ServiceName): void;
  /** Sends a signal to `postern up`. */
  signal(name: NodeJS.Signals): void;
  /** Rows of `postern queue list --json`. */
  queue(...filters: string[]): Promise<Record<string, unknown>[]>;
  /** Stops the gateway with SIGTERM; restart() starts it again on the same data. */
  halt(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a gateway and waits until it is ready. Keys that the test does not give have their defaults, with short retries.
 * @param prefix  words before each command; `ip netns exec NAME` runs the gateway on a host of the lab
 * @param parent  the directory in which it creates its own
 */
export async function startGateway(
  given: ConfigFile = {},
  prefix: string[] = [],
  parent: string = tmpdir(),
): Promise<Gateway> {
  const directory = mkdtempSync(join(parent, "postern-test-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const file = join(directory, "postern.yaml");
  writeFileSync(
    file,
    stringify({
      hostname: "gw.example.net",
      listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self" }],
      queue: { retry: ["1s"], delay_warning: 0 },
      admin: { port: adminPort },
      ...given,
      // The servers of tests and labs are on loopback.
      delivery: { loopback: "allow", ...given.delivery },
    }),
  );
  const [word = program, ...words] = [...prefix, program];
  const adminUrl = `http://127.0.0.1:${adminPort}`;
  const lines: Record<string, unknown>[] = [];
  let child: ChildProcess;

  const postern: Gateway["postern"] = (...args) =>
    new Promise((resolve) => {
      execFile(
        word,
        [...words, ...args, "-c", file],
        { maxBuffer: 64 * 1024 ** 2 },
        (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
      );
    });

  const start = async (): Promise<void> => {
    const started = spawn(word, [...words, "up", "-c", file], { stdio: ["ignore", "pipe", "pipe"] });
    child = started;
    let errors = "";
    createInterface({ input: started.stdout }).on("line", (line) => {
      if (line.startsWith("{")) lines.push(JSON.parse(line));
    });
    started.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    await waitFor(
      "the gateway to be ready",
      async () => {
        if (started.exitCode !== null) throw new Error(`postern up ended: ${errors}`);
        if (!lines.some(({ service, message }) => service === "up" && /^listening: /.test(`${message}`)))
          return false;
        // On another host, or at another address, only a command gets there, which is a process for each question.
        if (prefix.length > 0 || given.admin !== undefined)
          return (await postern("health", "admin")).code === 0;
        return (await fetch(`${adminUrl}/health`).catch(() => undefined))?.ok === true;
      },
      60_000,
    ).catch((error: Error) => {
      started.kill("SIGKILL");
      throw new Error(
        `${error.message}\n${lines
          .slice(-10)
          .map((line) => JSON.stringify(line))
          .join("\n")}`,
      );
    });
  };
  const end = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  };
  await start();
  return {
    directory,
    configFile: file,
    port,
    adminUrl,
    redisSocket: join(directory, "data", "redis", "redis.sock"),
    log: () => lines,
    postern,
    signal(name) {
      child.kill(name);
    },
    kill(service) {
      for (const pid of processesOf(service, file)) process.kill(pid, "SIGKILL");
    },
    async queue(...filters) {
      const { code, stdout, stderr } = await postern("queue", "list", "--json", ...filters);
      // 1 and an empty array: nothing matches the filters.
      if (code !== 0 && !(code === 1 && stdout.startsWith("["))) throw new Error(stderr);
      return JSON.parse(stdout);
    },
    halt: end,
    async restart() {
      await end();
      await start();
    },
    async stop() {
      await end();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** By their command lines: `node …/main.ts SERVICE -c FILE …`. */
function processesOf(service: ServiceName, configFile: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return words.includes(service) && words.includes(configFile) && !words.includes("up");
      } catch {
        return false;
      }
    })
    .map(Number);
}
