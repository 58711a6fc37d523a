/** The remote server's replies as the client gets them: its code where it fits, its enhanced status and its text, line for line. Pure. */
import { statusOf } from "../../../shared/smtp/diagnose.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import { statusIn, withoutStatus } from "../../../shared/smtp/parse-reply.ts";
import { makeReply, makeReplyOfLines, type Reply } from "../../../shared/smtp/reply.ts";
import type { EnhancedStatus, SmtpReply } from "../../../shared/smtp/status.ts";

/** RFC 5321 §4.5.3.1.5: a line has 512 octets with code, status and CRLF. */
const maxText = 480;

/** RFC 2034 §4: we offer enhanced codes, so every line has one, also where the remote server gave none. */
export function replyForClient(reply: SmtpReply): Reply {
  const status = statusOf(reply);
  if (reply.lines.every((line) => line === ""))
    return makeReply(codeHere(reply), status, "No reason was given");
  const lines = reply.lines.map((line) => {
    // Where a line has a status of its own, it differs from that of the reply.
    const enhanced = statusIn(line, reply.code) ?? status;
    return { enhanced, text: clip(withoutStatus(line, enhanced)) };
  });
  return makeReplyOfLines(codeHere(reply), lines);
}

/** RFC 7504 §4: a host gives 521 for itself, in its greeting; for the domain behind it 556 is given, to RCPT. */
function codeHere({ code, command }: SmtpReply): number {
  if (code !== 521) return code;
  return command === "DATA" || command === "DOT" ? 554 : 556;
}

/** The remote server's refusal, or ours where it lacks an extension that the message needs. */
export function refusalForClient({ reply, status, reason }: Diagnosis): Reply {
  return reply === undefined ? makeReply(codeOf(status), status, clip(reason)) : replyForClient(reply);
}

/** RFC 1870 §6.1, RFC 6531 §3.5, else RFC 5321 §4.2.2. */
function codeOf(status: EnhancedStatus): number {
  if (status === "5.3.4") return 552;
  return status === "5.6.7" ? 553 : 554;
}

function clip(text: string): string {
  return text.length > maxText ? `${text.slice(0, maxText - 3)}...` : text;
}
