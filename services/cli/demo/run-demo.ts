/**
 * The demo: a gateway with a mail server behind it, and people who write to each other, all on this machine.
 * Owns the gateway's process, the mail server and a temporary directory; all are gone when it returns.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { demoConfig } from "./demo-config.ts";
import { freePort } from "./free-port.ts";
import { startGateway } from "./gateway-process.ts";
import { startMailServer } from "./mail-server.ts";
import { demoMessage } from "./scene.ts";
import { sendMessage } from "./send-message.ts";
import { atTime, describeEvent, describeSent, introduction } from "./show.ts";

const defaultSmtpPort = 2525;
const defaultAdminPort = 8025;
/** The pause after each of the first messages, so that each can be followed. */
const firstPauseMs = 4_000;
const firstMessages = 4;
const laterPauseMs = 10_000;

export interface DemoOptions {
  /** Between two messages; absent: longer after the first ones. */
  pauseMs?: number;
  /** How many messages are sent; then the demo waits for the stop. */
  messages: number;
  /** Ends the demo. */
  stop: AbortSignal;
  print(line: string): void;
}

/** @throws CommandFailed when the gateway cannot start */
export async function runDemo(options: DemoOptions): Promise<void> {
  const { stop, print } = options;
  const now = (line: string): void => print(atTime(new Date(), line));
  const directory = mkdtempSync(join(tmpdir(), "postern-demo-"));
  const mailServer = await startMailServer((event) => now(describeEvent(event)));
  try {
    const ports = {
      smtp: await freePort(defaultSmtpPort),
      admin: await freePort(defaultAdminPort),
      mailServer: mailServer.port,
    };
    const config = join(directory, "postern.yaml");
    const log = join(directory, "log");
    const dashboard = `http://127.0.0.1:${ports.admin}`;
    writeFileSync(config, demoConfig(ports, join(directory, "data")));

    print("Starting …");
    const gateway = await startGateway(config, dashboard, log, stop);
    try {
      const smtp = `127.0.0.1:${ports.smtp}`;
      for (const line of introduction({ smtp, dashboard: `${dashboard}/`, log, config, command: command() }))
        print(line);
      const ended = gateway.ended.then(() => {
        if (!stop.aborted) now(`the gateway has ended: see ${log}`);
      });
      await Promise.race([ended, converse(ports.smtp, { ...options, print: now })]);
    } finally {
      await gateway.stop();
    }
  } finally {
    await mailServer.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Sends one message after the other until the stop. */
async function converse(port: number, { pauseMs, messages, stop, print }: DemoOptions): Promise<void> {
  for (let index = 0; index < messages && !stop.aborted; index++) {
    const message = demoMessage(index);
    try {
      print(describeSent(message, await sendMessage(port, message, new Date())));
    } catch (error) {
      print(`not sent  ${message.from} -> ${message.to.join(", ")}: ${(error as Error).message}`);
    }
    await pause(pauseMs ?? (index < firstMessages ? firstPauseMs : laterPauseMs), stop);
  }
  await new Promise((resolve) => {
    if (stop.aborted) resolve(undefined);
    stop.addEventListener("abort", resolve, { once: true });
  });
}

/** Ends early at the stop. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => {});
}

/** How a person calls `postern` from the current directory. A package of npm has this file one directory deeper. */
function command(): string {
  const launchers = ["../../../bin/postern", "../../../../bin/postern"].map((launcher) =>
    fileURLToPath(new URL(launcher, import.meta.url)),
  );
  return relative(process.cwd(), launchers.find((launcher) => existsSync(launcher)) ?? "postern");
}
