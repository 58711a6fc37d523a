/** Services as processes of their own, as containers and systemd run them: any number of each, which tests restart. */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import type { z } from "zod";
import type { configSchema } from "../../shared/config/schema.ts";

const program = fileURLToPath(new URL("../../services/cli/main.ts", import.meta.url));

export type ServiceCommand = "ingress" | "delivery" | "bounce" | "admin";

export interface ServiceProcess {
  readonly service: ServiceCommand;
  readonly pid: number;
  signal(name: NodeJS.Signals): void;
  /** Sends SIGTERM. @returns the exit status, or the signal that ended it */
  stop(): Promise<number | string>;
}

export interface ServiceProcesses {
  directory: string;
  /** The configuration file of all of them. */
  file: string;
  /** Writes the configuration anew, with these keys; processes that are started from then on have it. */
  configure(given: Partial<z.input<typeof configSchema>>): void;
  /** Resolves when the service says that it runs. @param options  --workers 1 for ingress and delivery, when absent */
  start(service: ServiceCommand, ...options: string[]): Promise<ServiceProcess>;
  /** The log of all of them so far: one record for each JSON line. */
  log: Record<string, unknown>[];
  /** Kills what still runs, and removes the directory. */
  close(): Promise<void>;
}

/**
 * @param given     the configuration; absent `data` is in a directory of its own
 * @param execArgv  options of Node
 */
export function createServiceProcesses(
  given: Partial<z.input<typeof configSchema>>,
  execArgv: string[] = [],
): ServiceProcesses {
  const directory = mkdtempSync(join(tmpdir(), "postern-services-"));
  const file = join(directory, "postern.yaml");
  const configure: ServiceProcesses["configure"] = (more) => {
    const config = { hostname: "gw.example.net", data: join(directory, "data"), ...given, ...more };
    writeFileSync(file, stringify(config));
  };
  configure({});
  const running = new Map<ChildProcess, Promise<number | string>>();
  const log: ServiceProcesses["log"] = [];

  return {
    directory,
    file,
    log,
    configure,
    async start(service, ...options) {
      const hasWorkers = service === "ingress" || service === "delivery";
      const workers = hasWorkers && !options.includes("--workers") ? ["--workers", "1"] : [];
      const child = fork(program, [service, "-c", file, ...workers, ...options], {
        stdio: ["ignore", "pipe", "inherit", "ipc"],
        execArgv,
      });
      const ended = new Promise<number | string>((resolve) => {
        child.once("exit", (code, signal) => resolve(code ?? signal ?? ""));
      });
      running.set(child, ended);
      void ended.then(() => running.delete(child));
      if (child.stdout !== null)
        createInterface({ input: child.stdout }).on("line", (line) => {
          if (line.startsWith("{")) log.push(JSON.parse(line));
        });
      const isUp = new Promise<void>((resolve, reject) => {
        child.on("message", (message) => {
          if ((message as { kind?: string }).kind === "up") resolve();
        });
        void ended.then((how) =>
          reject(new Error(`${service} ended with ${how}: ${JSON.stringify(log.at(-1))}`)),
        );
      });
      await isUp;
      return {
        service,
        pid: child.pid ?? 0,
        signal: (name) => void child.kill(name),
        stop() {
          child.kill("SIGTERM");
          return ended;
        },
      };
    },
    async close() {
      for (const child of running.keys()) child.kill("SIGKILL");
      await Promise.all(running.values());
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
