/** What a reply, or the end of the connection, means at each step of a mail transaction. Pure. */
import {
  deferRefusal,
  deferred,
  type Failure,
  outcomeOfRefusal,
  type Remote,
  remoteName,
  replyLine,
} from "../../smtp/diagnose.ts";
import { isPositive, type SmtpCommandName, type SmtpReply } from "../../smtp/status.ts";
import type { Heard } from "../session/connection.ts";
import { outcomeOfDisconnect } from "../session/disconnect-reason.ts";

/** The steps at which a server may speak. No reply is due "between" two commands and in the "body" of a message. */
export type Step = "mail" | "rcpt" | "between" | "data" | "body" | "dot";

export type StepResult =
  /** The reply that the step needs. */
  | { kind: "accepted"; reply: SmtpReply }
  /** A 4xx or 5xx; the session is in order. */
  | { kind: "refused"; reply: SmtpReply; outcome: Failure }
  | SessionEnd;

/** The session is of no more use. The outcome is that of every recipient without an answer. */
export interface SessionEnd {
  kind: "ended";
  outcome: Failure;
  /** The server's replies do not fit our commands: earlier ones may have been about something else, too. */
  isOutOfStep?: true;
}

interface StepTraits {
  /** The command that a reply at this step answers, as far as it answers one. */
  command: SmtpCommandName;
  /** How long the reply may take. */
  timeout: "mail" | "rcpt" | "data" | "dot";
  /** For people: when the connection was lost. */
  when: string;
}

export const steps: Record<Step, StepTraits> = {
  mail: { command: "MAIL", timeout: "mail", when: "while sending MAIL FROM" },
  rcpt: { command: "RCPT", timeout: "rcpt", when: "while sending RCPT TO" },
  between: { command: "RCPT", timeout: "rcpt", when: "between two commands" },
  data: { command: "DATA", timeout: "data", when: "while sending DATA" },
  body: { command: "DOT", timeout: "dot", when: "while sending the message" },
  dot: { command: "DOT", timeout: "dot", when: "after sending the whole message" },
};

/**
 * A reply that makes no sense at its step shows that client and server are out of step: nothing that the server says
 * later can be credited to a command, so the session ends and the mail waits.
 */
export function readStep(step: "between" | "body", heard: Heard, remote: Remote, atMs: number): SessionEnd;
export function readStep(step: Step, heard: Heard, remote: Remote, atMs: number): StepResult;
export function readStep(step: Step, heard: Heard, remote: Remote, atMs: number): StepResult {
  if (heard.kind === "lost") {
    const { disconnectReason } = heard;
    const ended = unanswered(step, outcomeOfDisconnect(disconnectReason, remote, steps[step].when, atMs));
    return disconnectReason.kind === "malformed" ? { ...ended, isOutOfStep: true } : ended;
  }
  const { reply } = heard;
  // RFC 5321 §3.8: the server is going away, whatever it was asked.
  if (reply.code === 421) return { kind: "ended", outcome: outcomeOfRefusal(reply, remote, atMs) };
  if (isExpected(step, reply)) return { kind: "accepted", reply };
  if (reply.code < 400 || step === "between") {
    const said = step === "between" ? "spoke between two commands" : `answered ${reply.command} out of order`;
    const reason = `${remoteName(remote)} ${said}: ${replyLine(reply)}`;
    const ended = unanswered(step, deferred("network", "4.5.0", reason, atMs, remote));
    return { ...ended, isOutOfStep: true };
  }
  const outcome = refusalAt(step, reply, remote, atMs);
  // In the middle of a message no other command can be given.
  return step === "body" ? { kind: "ended", outcome } : { kind: "refused", reply, outcome };
}

/** Whether the session has ended by a lost connection or by 421. */
export function isSessionEnd(heard: Heard): boolean {
  return heard.kind === "lost" || heard.reply.code === 421;
}

function isExpected(step: Step, reply: SmtpReply): boolean {
  switch (step) {
    case "mail":
    case "rcpt":
    case "dot":
      return isPositive(reply);
    case "data":
      return reply.code === 354;
    case "between":
    case "body":
      return false;
  }
}

function refusalAt(step: Step, reply: SmtpReply, remote: Remote, atMs: number): Failure {
  // RFC 5321 §4.5.3.1.10: 552 is as temporary as 452 then.
  if (step === "rcpt" && isTooManyRecipients(reply)) return deferRefusal(reply, remote, atMs);
  return outcomeOfRefusal(reply, remote, atMs);
}

/**
 * RFC 5321 §4.5.4.1, RFC 1047: without an answer to its end the message may have arrived, and another attempt may make
 * a second copy.
 */
function unanswered(step: Step, { diagnosis }: Extract<Failure, { kind: "deferred" }>): SessionEnd {
  if (step === "dot") diagnosis.possiblyDelivered = true;
  return { kind: "ended", outcome: { kind: "deferred", diagnosis } };
}

/**
 * Whether a reply to RCPT says that the transaction has too many recipients: 452, or 552 of older servers (RFC 5321
 * §4.5.3.1.10), unless its enhanced status speaks of the mailbox (RFC 3463 X.2.x) or of the message's size (X.3.4).
 */
export function isTooManyRecipients({ code, enhanced }: SmtpReply): boolean {
  if (code !== 452 && code !== 552) return false;
  return enhanced === undefined || !/^\d\.(2\.\d+|3\.4)$/.test(enhanced);
}
