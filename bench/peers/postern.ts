/** Postern as a user runs it: `postern up` with its own Redis, in a temporary directory. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { z } from "zod";
import type { configSchema } from "../../shared/config/schema.ts";
import { freePort } from "../../test/support/free-port.ts";
import { run as runQuietly } from "../../test/support/programs.ts";
import { waitFor } from "../../test/support/wait-for.ts";
import { orInterrupted } from "../interrupt.ts";
import { type CpuSeconds, childrenOf, cpuSeconds, type ProcessName } from "../processes.ts";
import { end } from "./program.ts";

export const program = fileURLToPath(new URL("../../bin/postern", import.meta.url));

export interface Postern {
  /** The port of the listener `bench`, unless the configuration has listeners of its own. */
  port: number;
  directory: string;
  configFile: string;
  /** The log of all services, with the addresses of their debuggers if they have any. */
  logFile: string;
  processes(): ProcessName[];
  cpu(): CpuSeconds;
  /** The output of `postern queue list`. */
  queued(): Promise<string>;
  stop(): Promise<void>;
}

export interface PosternOptions {
  /** Keys that are absent have their defaults. */
  config: Partial<z.input<typeof configSchema>>;
  /** Words before each command, such as `ip netns exec NAME`. */
  prefix?: string[];
  /** Further processes, beside the one of each service that `postern up` runs. */
  more?: Partial<Record<"ingress" | "delivery", number>>;
  /** Of ingress, and of delivery; absent: 1. */
  workers?: number;
  /** Options for Node in every service. */
  nodeOptions?: string;
}

export async function startPostern(options: PosternOptions): Promise<Postern> {
  const directory = mkdtempSync(join(tmpdir(), "postern-bench-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const configFile = join(directory, "postern.yaml");
  const data = join(directory, "data");
  writeFileSync(
    configFile,
    stringify({
      hostname: "bench.example.net",
      data,
      listeners: [{ name: "bench", address: "127.0.0.1", port, destination: "self" }],
      admin: { port: adminPort },
      // All the load comes from one client.
      limits: { clients: { connections: 1000 } },
      ...options.config,
    }),
  );
  const logFile = join(directory, "log");
  const started: { name: string; child: ChildProcess }[] = [];
  const [word = program, ...words] = [...(options.prefix ?? []), program];
  const start = (...args: string[]): ChildProcess => {
    const log = openSync(logFile, "a");
    const env =
      options.nodeOptions === undefined ? process.env : { ...process.env, NODE_OPTIONS: options.nodeOptions };
    const child = spawn(word, [...words, ...args, "-c", configFile], { stdio: ["ignore", log, log], env });
    closeSync(log);
    started.push({ name: args[0] ?? "", child });
    return child;
  };
  const up = start("up", "--workers", String(options.workers ?? 1));
  const isReady = (service: string) => async (): Promise<boolean> => {
    if (up.exitCode !== null)
      throw new Error(`postern up ended: ${readFileSync(logFile, "utf8").slice(-2000)}`);
    return (await runQuietly(word, [...words, "health", service, "-c", configFile])).code === 0;
  };
  await waitFor("postern up to be ready", isReady("admin"), 60_000);
  const redis = [
    "--workers",
    "1",
    "--redis",
    `unix://${join(data, "redis", "redis.sock")}`,
    "--health-port",
    "0",
  ];
  for (const service of ["ingress", "delivery"] as const) {
    for (let n = 0; n < (options.more?.[service] ?? 0); n++) {
      const child = start(service, ...redis);
      await waitFor(`another ${service} to run`, () => hasStarted(logFile, child.pid), 60_000);
    }
  }
  const processes = (): ProcessName[] => [
    ...childrenOf(up.pid ?? 0),
    ...started.slice(1).map(({ name, child }) => ({ name, pid: child.pid ?? 0 })),
  ];
  return {
    port,
    directory,
    configFile,
    logFile,
    processes,
    cpu: () => cpuSeconds(processes()),
    queued: async () => (await runQuietly(word, [...words, "queue", "list", "-c", configFile])).output,
    stop: orInterrupted(async () => {
      for (const { child } of started.reverse()) await end(child);
      rmSync(directory, { recursive: true, force: true });
    }),
  };
}

function hasStarted(logFile: string, pid: number | undefined): boolean {
  return readFileSync(logFile, "utf8")
    .split("\n")
    .some((line) => line.includes(`"pid":${pid}`) && line.includes('"running"'));
}
