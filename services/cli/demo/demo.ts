/** `postern demo`: shows a newcomer in a minute what the gateway does with mail. */
import { defineCommand, UsageError } from "../command-line/command.ts";
import { runDemo } from "./run-demo.ts";

export const command = defineCommand({
  usage: "[--every SECONDS] [--messages N]",
  details:
    "Starts a gateway and a mail server behind it on free ports of 127.0.0.1, with all their files in a temporary directory, and lets people write to each other: one message arrives, one is deferred by a full mailbox, one comes back. Nothing leaves the machine. Ctrl-C ends it and removes what it made.",
  options: {
    every: { type: "string", value: "SECONDS", help: "between two messages; default: 10, and 4 at first" },
    messages: { type: "string", value: "N", help: "send so many and then only wait; default: go on" },
  },
  examples: [
    ["see mail arrive", "demo"],
    ["a busy gateway, for a look at the dashboard", "demo --every 0.2"],
  ],
  async run(context, values) {
    const stop = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
    await runDemo({
      ...(values.every === undefined ? {} : { pauseMs: positive(values.every, "--every") * 1_000 }),
      messages: values.messages === undefined ? Infinity : positive(values.messages, "--messages"),
      stop: stop.signal,
      print: (line) => context.stdout.write(`${line}\n`),
    });
    return 0;
  },
});

function positive(text: string, option: string): number {
  const value = Number(text);
  // The longest time that a timer of Node takes is 24 days.
  if (!(value > 0 && value <= 1_000_000)) {
    throw new UsageError(`takes a number between 0 and 1000000 with ${option}, not '${text}'`);
  }
  return value;
}
