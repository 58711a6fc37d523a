/** What a server replied to each step of a transaction that a client waits for, and how long that took: for the timeline. */
import { replyLine } from "../../smtp/diagnose.ts";
import type { SmtpReply } from "../../smtp/status.ts";

export interface InlineStep {
  command: "MAIL" | "RCPT" | "DATA" | "DOT";
  /** In one line; absent for the final dot, whose reply is that of the message. */
  reply?: string;
  ms: number;
}

/** A reply may have hundreds of lines: the outcome has it whole. */
const maxReply = 120;

/** @param now  epoch milliseconds */
export async function timeStep<T extends object>(
  command: InlineStep["command"],
  now: () => number,
  step: () => Promise<T>,
): Promise<{ result: T; step: InlineStep }> {
  const begunMs = now();
  const result = await step();
  const ms = Math.max(0, Math.round(now() - begunMs));
  const reply = command !== "DOT" && "reply" in result ? (result.reply as SmtpReply) : undefined;
  const timed: InlineStep =
    reply === undefined ? { command, ms } : { command, ms, reply: replyLine(reply).slice(0, maxReply) };
  return { result, step: timed };
}
