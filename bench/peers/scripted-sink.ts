/** Starts peers/scripted-server.ts and receives its counts. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { freePort } from "../../test/support/free-port.ts";
import { orInterrupted } from "../interrupt.ts";
import { end } from "./program.ts";
import type { Counts, Script } from "./scripted-server.ts";

export interface ScriptedSink {
  port: number;
  counts(): Counts;
  /** @throws Error when the count is not reached within `timeoutMs` */
  untilMessages(count: number, timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

const server = fileURLToPath(new URL("scripted-server.ts", import.meta.url));

export async function startScriptedSink(given: Partial<Omit<Script, "port">>): Promise<ScriptedSink> {
  const port = await freePort();
  const script: Script = {
    addresses: ["127.0.0.1"],
    delayMs: 0,
    deferredPercent: 0,
    refusedPercent: 0,
    ...given,
    port,
  };
  const child = fork(server, [JSON.stringify(script)]);
  let counts: Counts = { messages: 0, deferred: 0, refused: 0 };
  let wake: (() => void) | undefined;
  const next = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  child.on("message", (message) => {
    counts = message as Counts;
    wake?.();
  });
  child.on("exit", () => wake?.());
  await next();
  return {
    port,
    counts: () => counts,
    async untilMessages(count, timeoutMs) {
      const deadline = Date.now() + timeoutMs;
      while (counts.messages < count) {
        if (child.exitCode !== null) throw new Error("the scripted server ended");
        if (Date.now() > deadline) throw new Error(`the sink has ${counts.messages} of ${count} messages`);
        await next();
      }
    },
    stop: orInterrupted(() => end(child)),
  };
}
