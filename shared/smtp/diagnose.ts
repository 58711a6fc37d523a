/** Makes diagnoses from replies and failures: complete ones, whatever the remote server left out. Pure. */
import type { Diagnosis, FailureClass, Outcome } from "./diagnosis.ts";
import type { EnhancedStatus, SmtpReply } from "./status.ts";

export type Remote = { host: string; address: string; port: number };

/** An outcome other than delivery. */
export type Failure = Exclude<Outcome, { kind: "delivered" }>;

/** Characters of a reason; the whole reply is in `reply`. */
const maxReason = 500;

/**
 * The enhanced status for a reply code that came without one: RFC 5321 §4.2.3 in terms of RFC 3463.
 * 550 and 554 are used for anything from an unknown user to a policy: more than X.0.0 would be a guess, and list
 * managers remove subscribers because of such guesses.
 */
const statusByCode: Record<number, EnhancedStatus> = {
  421: "4.3.2",
  432: "4.7.12",
  450: "4.2.0",
  451: "4.3.0",
  452: "4.3.1",
  454: "4.7.0",
  455: "4.5.4",
  500: "5.5.2",
  501: "5.5.4",
  502: "5.5.1",
  503: "5.5.1",
  504: "5.5.4",
  521: "5.3.2",
  530: "5.7.0",
  534: "5.7.9",
  535: "5.7.8",
  538: "5.7.11",
  551: "5.1.6",
  552: "5.2.2",
  553: "5.1.3",
  555: "5.5.4",
  556: "5.1.10",
};

export function statusOf(reply: SmtpReply): EnhancedStatus {
  if (reply.enhanced !== undefined) return reply.enhanced;
  // RFC 5321 §4.5.3.1.10: 452 in reply to RCPT means too many recipients.
  if (reply.code === 452 && reply.command === "RCPT") return "4.5.3";
  if (reply.code === 552 && reply.command !== "RCPT") return "5.3.4";
  const known = statusByCode[reply.code];
  if (known !== undefined) return known;
  if (reply.code >= 500) return "5.0.0";
  return reply.code >= 400 ? "4.0.0" : "2.0.0";
}

/** `550 5.1.1 no such user`, on one line. */
export function replyLine(reply: SmtpReply): string {
  const text = reply.lines.join(" ").trim();
  return `${reply.code}${reply.enhanced === undefined ? "" : ` ${reply.enhanced}`}${text === "" ? "" : ` ${text}`}`;
}

/** `mx.example.com [192.0.2.1]` */
export function remoteName(remote: Remote): string {
  return remote.host === remote.address ? `[${remote.address}]` : `${remote.host} [${remote.address}]`;
}

const commandNames: Partial<Record<SmtpReply["command"], string>> = {
  CONNECT: "the connection",
  MAIL: "MAIL FROM",
  RCPT: "RCPT TO",
  DOT: "the end of the message",
};

/** The outcome for the recipients that a refusal concerns. The code decides (RFC 5321 §4.2.1), the status explains. */
export function outcomeOfRefusal(reply: SmtpReply, remote: Remote, atMs: number): Failure {
  const diagnosis = diagnoseReply(reply, remote, atMs);
  return { kind: reply.code >= 500 ? "rejected" : "deferred", diagnosis };
}

export function diagnoseReply(reply: SmtpReply, remote: Remote, atMs: number): Diagnosis {
  const said = `${remoteName(remote)} said: ${replyLine(reply)}`;
  const to = commandNames[reply.command] ?? reply.command;
  return {
    status: statusOf(reply),
    class: reply.code >= 500 ? "5xx" : "4xx",
    reason: oneLine(`${said} (in reply to ${to})`),
    reply,
    remote,
    atMs,
  };
}

/**
 * For a refusal that concerns the gateway and not the recipient (greeting, EHLO, AUTH), or that RFC 5321 wants treated
 * as temporary: deferred whatever its code, with the same subject and detail.
 */
export function deferRefusal(reply: SmtpReply, remote: Remote, atMs: number): Failure {
  const diagnosis = diagnoseReply(reply, remote, atMs);
  return { kind: "deferred", diagnosis: { ...diagnosis, status: asTemporary(diagnosis.status) } };
}

/** `5.7.1` as `4.7.1`. */
export function asTemporary(status: EnhancedStatus): EnhancedStatus {
  return `4${status.slice(1)}` as EnhancedStatus;
}

/** A temporary failure without a reply of the server. */
export function deferred(
  failure: FailureClass,
  status: EnhancedStatus,
  reason: string,
  atMs: number,
  remote?: Remote,
): Extract<Outcome, { kind: "deferred" }> {
  return { kind: "deferred", diagnosis: diagnosisOf(failure, status, reason, atMs, remote) };
}

export function rejected(
  failure: FailureClass,
  status: EnhancedStatus,
  reason: string,
  atMs: number,
  remote?: Remote,
): Extract<Outcome, { kind: "rejected" }> {
  return { kind: "rejected", diagnosis: diagnosisOf(failure, status, reason, atMs, remote) };
}

function diagnosisOf(
  failure: FailureClass,
  status: EnhancedStatus,
  reason: string,
  atMs: number,
  remote: Remote | undefined,
): Diagnosis {
  const base = { status, class: failure, reason: oneLine(reason), atMs };
  return remote === undefined ? base : { ...base, remote };
}

function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
  const line = text.replace(/[\x00-\x1f\x7f\u2028\u2029]+/g, " ").trim();
  return line.length > maxReason ? `${line.slice(0, maxReason - 1)}…` : line;
}
