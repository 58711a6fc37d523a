/** Runs `postern up` for the demo, with its log in a file. Owns the process; stop() ends it. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CommandFailed } from "../command-line/command.ts";

const program = fileURLToPath(new URL("../main.ts", import.meta.url));
const askEveryMs = 100;
const startTimeoutMs = 60_000;

export interface GatewayProcess {
  /** Resolves when the gateway has ended by itself. */
  ended: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Resolves when the gateway is ready.
 * @param adminUrl  of the configuration, without a path
 * @throws CommandFailed with the reason when the gateway cannot start
 */
export async function startGateway(
  configFile: string,
  adminUrl: string,
  logFile: string,
  stopped: AbortSignal,
): Promise<GatewayProcess> {
  const log = openSync(logFile, "a", 0o600);
  // Detached, so that Ctrl-C reaches the demo only, which ends its gateway before the mail server.
  const child = spawn(
    process.execPath,
    [...process.execArgv, program, "up", "--log", "text", "-c", configFile],
    {
      stdio: ["ignore", log, "pipe"],
      detached: true,
    },
  );
  closeSync(log);
  let errors = "";
  child.stderr?.on("data", (chunk) => {
    errors += chunk;
  });
  let running = true;
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => {
      running = false;
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    if (running) child.kill("SIGTERM");
    await ended;
  };

  const deadline = performance.now() + startTimeoutMs;
  while (!stopped.aborted && !(await isReady(adminUrl))) {
    if (!running) throw new CommandFailed(lastLine(errors) ?? `the gateway ended: see ${logFile}`);
    if (performance.now() > deadline) {
      await stop();
      throw new CommandFailed(`the gateway is not ready after a minute: see ${logFile}`);
    }
    await wait(askEveryMs);
  }
  return { ended, stop };
}

async function isReady(adminUrl: string): Promise<boolean> {
  try {
    return (await fetch(`${adminUrl}/health`)).ok;
  } catch {
    return false;
  }
}

function lastLine(text: string): string | undefined {
  return (
    text
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/^postern: /, "") || undefined
  );
}
