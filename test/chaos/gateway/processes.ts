/** The whole gateway as real processes on one machine, two of each service that may run twice. Owns them; stop() ends them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { waitFor } from "../../support/wait-for.ts";
import type { Recorder } from "../history/recorder.ts";
import type { Random } from "../random.ts";
import { type Addresses, chaosConfig } from "./config.ts";
import { recordLogLine } from "./log-lines.ts";
import { SupervisedProgram } from "./supervised.ts";

export const serviceNames = [
  "ingress-1",
  "ingress-2",
  "delivery-1",
  "delivery-2",
  "bounce-1",
  "bounce-2",
  "admin-1",
];

/** The address from which a process delivers, by its name. */
const sources: Record<string, string> = Object.fromEntries(
  serviceNames.map((name, index) => [name, `127.0.2.${index + 1}`]),
);

export function processOfAddress(address: string): string | undefined {
  return serviceNames.find((name) => sources[name] === address);
}

export interface GatewayProcesses {
  programs: SupervisedProgram[];
  /** Where its configuration files are. */
  directory: string;
  named(name: string): SupervisedProgram;
  adminUrl: string;
  /** Waits until the admin finds every service ready. */
  waitUntilReady(timeoutMs: number): Promise<void>;
  /** The names of those that had to be killed, because they did not end by SIGTERM. */
  stop(patienceMs: number): Promise<string[]>;
}

export interface GatewayOptions {
  directory: string;
  /** The data directory of the gateway. */
  data: string;
  addresses: Addresses;
  recorder: Recorder;
  random: Random;
  env: NodeJS.ProcessEnv;
  /** Gets each line of the log of all processes. */
  onLine(name: string, line: string): void;
}

/** As bin/postern has it: a process that is killed often should not compile its source each time. */
const compiled = fileURLToPath(new URL("../../../node_modules/.cache/postern", import.meta.url));
const program = fileURLToPath(new URL("../../../services/cli/main.ts", import.meta.url));

export function startGatewayProcesses(options: GatewayOptions): GatewayProcesses {
  const { directory, data, addresses, random, recorder } = options;
  mkdirSync(data, { recursive: true });
  const programs = serviceNames.map((name) => {
    const file = join(directory, `${name}.yaml`);
    writeFileSync(file, stringify(chaosConfig(data, addresses, sources[name])));
    const own = random.fork(name);
    return new SupervisedProgram({
      name,
      command: process.execPath,
      args: [program, name.replace(/-\d$/, ""), "-c", file, "--grace", "10s"],
      env: { ...options.env, NODE_COMPILE_CACHE: compiled },
      restartMs: () => own.between(100, 1_500),
      onLine(line) {
        options.onLine(name, line);
        recordLogLine(recorder, name, line);
      },
    });
  });
  const adminUrl = `http://127.0.0.1:${addresses.adminPort}`;
  return {
    programs,
    directory,
    named(name) {
      const found = programs.find((each) => each.name === name);
      if (found === undefined) throw new Error(`no process is called ${name}`);
      return found;
    },
    adminUrl,
    async waitUntilReady(timeoutMs) {
      await waitFor(
        "the gateway to be ready",
        async () => {
          const answer = await fetch(`${adminUrl}/health`).catch(() => undefined);
          await answer?.body?.cancel();
          return answer?.status === 200;
        },
        timeoutMs,
      );
    },
    async stop(patienceMs) {
      const ended = await Promise.all(programs.map((each) => each.stop(patienceMs)));
      return serviceNames.filter((_name, index) => ended[index] === false);
    },
  };
}
