/**
 * Whether a reply of the server shows that it reads the client's octets otherwise than we do. Pure.
 */
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import type { Answered } from "./observed-transactions.ts";

/** Why a session was ended while a policy was in force: from there on its meaning to the server would be unknown. */
export type EndReason =
  /** The client does not speak SMTP: TLS from the first octet, a PROXY header of its own. */
  | "not-smtp"
  | "sasl-layer"
  /** A line of the message has one dot, and some servers take that for the end. */
  | "unclear-end-of-data"
  /** A reply to a message or a chunk whose end the client has not sent. */
  | "early-reply"
  /** A reply to nothing. */
  | "unexpected-reply"
  /** A reply that no server gives to this command. */
  | "misplaced-reply"
  | "malformed-reply";

/**
 * @param answered   what the reply answers, as far as we know
 * @param isPartial  the client has not sent all of that yet
 */
export function whyOutOfStep(
  answered: Answered | undefined,
  isPartial: boolean,
  reply: WholeReply,
): EndReason | undefined {
  // RFC 5321 §3.8: the server is about to close, and says so at any time.
  if (reply.code === 421) return undefined;
  if (answered === undefined) return "unexpected-reply";
  if (reply.isCut || reply.code === 0 || !hasOneCode(reply.octets)) return "malformed-reply";
  if (isPartial) return "early-reply";
  return isPossible(answered, reply) ? undefined : "misplaced-reply";
}

/** RFC 5321 §4.3.2, RFC 4954 §4 and §6, RFC 3207 §4: a reply in the wrong place betrays a server that gave one more before. */
function isPossible({ kind }: Answered, { code }: WholeReply): boolean {
  const isAuth = kind === "auth" || kind === "auth-response";
  switch (true) {
    case code >= 300 && code < 400:
      return kind === "data" ? code === 354 : isAuth && code === 334;
    case code === 220:
      return kind === "connect" || kind === "starttls" || kind === "xclient";
    case code === 235:
      return isAuth;
    default:
      return kind !== "data" || code >= 400;
  }
}

/** RFC 5321 §4.2.1: every line of a reply has the same code. */
function hasOneCode(octets: Buffer): boolean {
  for (let at = octets.indexOf("\n") + 1; at > 0 && at < octets.length; at = octets.indexOf("\n", at) + 1) {
    for (let i = 0; i < 3; i++) if (octets[at + i] !== octets[i]) return false;
  }
  return true;
}
