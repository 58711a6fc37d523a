/** Postfix's smtp-sink: takes everything and counts it. */
import { spawn } from "node:child_process";
import { userInfo } from "node:os";
import { end, freePort, untilGreets } from "./program.ts";

export interface Sink {
  port: number;
  /** Messages taken since it started. */
  messages(): number;
  /** @throws Error when the count is not there after `timeoutMs` */
  untilMessages(count: number, timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** @param delaySeconds  the time that each reply to the final dot takes */
export async function startSink(extra: string[] = []): Promise<Sink> {
  const port = await freePort();
  const user = userInfo().uid === 0 ? ["-u", "nobody"] : [];
  const child = spawn("smtp-sink", [...user, "-c", ...extra, `127.0.0.1:${port}`, "1000"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let messages = 0;
  let wake: (() => void) | undefined;
  child.stdout.on("data", (chunk: Buffer) => {
    const counts = [...chunk.toString("latin1").matchAll(/mesg=(\d+)\r/g)];
    messages = Number(counts.at(-1)?.[1] ?? messages);
    wake?.();
  });
  await untilGreets(port);
  return {
    port,
    messages: () => messages,
    async untilMessages(count, timeoutMs) {
      const deadline = Date.now() + timeoutMs;
      while (messages < count) {
        if (Date.now() > deadline) throw new Error(`the sink has ${messages} of ${count} messages`);
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, 500);
        });
      }
    },
    stop: () => end(child),
  };
}
