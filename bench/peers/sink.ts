/** Postfix's smtp-sink, which accepts and counts all messages. */
import { spawn } from "node:child_process";
import { userInfo } from "node:os";
import { freePort } from "../../test/support/free-port.ts";
import { searchPath } from "../../test/support/programs.ts";
import { waitFor } from "../../test/support/wait-for.ts";
import { orInterrupted } from "../interrupt.ts";
import { end, run } from "./program.ts";

export interface Sink {
  port: number;
  /** Messages accepted since its start. */
  messages(): number;
  /** @throws Error when the count is not reached within `timeoutMs` */
  untilMessages(count: number, timeoutMs: number): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param extra  further options of smtp-sink
 * @param where  absent: a free port of 127.0.0.1; `prefix`: words before the command, such as `ip netns exec NAME`
 */
export async function startSink(
  extra: string[] = [],
  where: { address?: string; port?: number; prefix?: string[] } = {},
): Promise<Sink> {
  const { address = "127.0.0.1", port = await freePort(), prefix = [] } = where;
  const user = userInfo().uid === 0 ? ["-u", "nobody"] : [];
  const [word = "smtp-sink", ...words] = [...prefix, "smtp-sink"];
  const child = spawn(word, [...words, ...user, "-c", ...extra, `${address}:${port}`, "1000"], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, PATH: searchPath },
  });
  let messages = 0;
  let wake: (() => void) | undefined;
  child.stdout.on("data", (chunk: Buffer) => {
    const counts = [...chunk.toString("latin1").matchAll(/mesg=(\d+)\r/g)];
    messages = Number(counts.at(-1)?.[1] ?? messages);
    wake?.();
  });
  const [ask = "", ...askWords] = [...prefix, "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`];
  await waitFor("smtp-sink", () =>
    run(ask, askWords).then(
      () => true,
      () => false,
    ),
  );
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
    stop: orInterrupted(() => end(child)),
  };
}
