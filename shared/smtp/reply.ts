/** Replies of the gateway (RFC 5321 §4.2): made once, written many times. Pure. */
import type { EnhancedStatus } from "./status.ts";

export interface Reply {
  code: number;
  /** RFC 2034 §4: absent in the greeting, in replies to HELO and EHLO, and in 3xx. */
  enhanced?: EnhancedStatus;
  /** For people. */
  text: string;
  /** The octets to send, with CRLF. */
  wire: string;
}

/** A reply of one line. Control characters in its text would split it: they become spaces. */
export function makeReply(code: number, enhanced: EnhancedStatus | undefined, text: string): Reply {
  const safe = printable(text);
  if (enhanced === undefined) return { code, text: safe, wire: `${code} ${safe}\r\n` };
  return { code, enhanced, text: safe, wire: `${code} ${enhanced} ${safe}\r\n` };
}

/** The text of the gateway's greeting (RFC 5321 §4.2), by which it also knows itself when it has connected to itself. */
export function greetingText(hostname: string): string {
  return `${hostname} ESMTP Postern`;
}

/** A reply of several lines, each with its enhanced status (RFC 2034 §4). @param lines  without code and status; at least one */
export function makeReplyOfLines(code: number, lines: { enhanced: EnhancedStatus; text: string }[]): Reply {
  const last = lines.length - 1;
  const wire = lines
    .map(({ enhanced, text }, i) => `${code}${i === last ? " " : "-"}${enhanced} ${printable(text)}\r\n`)
    .join("");
  const text = lines.map((line) => printable(line.text)).join(" / ");
  const enhanced = lines[last]?.enhanced;
  return { code, ...(enhanced === undefined ? {} : { enhanced }), text, wire };
}

/** The reply to EHLO: the only one of the gateway itself with several lines. @param lines  at least one */
export function makeEhloReply(lines: string[]): Reply {
  const last = lines.length - 1;
  const wire = lines.map((line, i) => `250${i === last ? " " : "-"}${printable(line)}\r\n`).join("");
  return { code: 250, text: lines.join(", "), wire };
}

/** For logs: code, enhanced status and text, without the line end. */
export function describeReply(reply: Reply): string {
  return reply.enhanced === undefined
    ? `${reply.code} ${reply.text}`
    : `${reply.code} ${reply.enhanced} ${reply.text}`;
}

function printable(text: string): string {
  if (isPrintable(text)) return text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return text.replace(/[\x00-\x1f\x7f-\u{10ffff}]/gu, " ");
}

/** Most texts are, and to look costs less than to replace. */
function isPrintable(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code >= 0x7f) return false;
  }
  return true;
}
