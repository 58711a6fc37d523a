/** Parses a whole reply into code, enhanced status and text (RFC 5321 §4.2, RFC 2034). Pure. */
import type { WholeReply } from "./reply-reader.ts";
import type { EnhancedStatus, SmtpCommandName, SmtpReply } from "./status.ts";

/** How much of a reply is kept: it goes into Redis, logs and DSNs, once for each recipient. */
const maxLines = 50;
const maxLineLength = 1000;
const maxLength = 2000;

const enhancedStatus = /^([245])\.(\d{1,3})\.(\d{1,3})(?:[ \t]+|$)/;

/** @returns `undefined` when it is no SMTP reply: the server speaks another protocol */
export function parseReply(whole: WholeReply, command: SmtpCommandName): SmtpReply | undefined {
  const { code } = whole;
  if (code === 0) return undefined;
  const texts = whole.octets.toString("utf8").split("\n", maxLines);
  if (texts.length > 1 && texts.at(-1) === "") texts.pop();
  const [only] = texts;
  // Nearly every reply has one line, and there are five for each message.
  if (texts.length === 1 && only !== undefined) return parseLine(textOf(only), code, command);
  const lines = command === "EHLO" ? texts.map(textOf) : bounded(texts.map(textOf));
  const enhanced = mayHaveStatus(code, command) ? statusIn(lines[0] ?? "", code) : undefined;
  if (enhanced === undefined) return { code, lines, command };
  // RFC 2034 §4: every line repeats the status.
  return { code, enhanced, lines: lines.map((line) => withoutStatus(line, enhanced)), command };
}

function parseLine(line: string, code: number, command: SmtpCommandName): SmtpReply {
  const match = mayHaveStatus(code, command) ? statusOf(line, code) : undefined;
  if (match === undefined) return { code, lines: [line], command };
  return { code, enhanced: match.status, lines: [line.slice(match.length)], command };
}

/** RFC 2034 §3: not in replies to HELO and EHLO, where it would be a keyword, unless they refuse the command. */
function mayHaveStatus(code: number, command: SmtpCommandName): boolean {
  return code >= 400 || (command !== "EHLO" && command !== "HELO" && command !== "CONNECT");
}

/** The status at the start of a line, if it has one (RFC 2034 §4): its class must equal the first digit of the code. */
export function statusIn(line: string, code: number): EnhancedStatus | undefined {
  return statusOf(line, code)?.status;
}

/** @property length  characters of the status and the white space behind it */
function statusOf(line: string, code: number): { status: EnhancedStatus; length: number } | undefined {
  const match = enhancedStatus.exec(line);
  if (match === null || Number(match[1]) !== Math.floor(code / 100)) return undefined;
  const status: EnhancedStatus = `${Number(match[1]) as 2 | 4 | 5}.${Number(match[2])}.${Number(match[3])}`;
  return { status, length: match[0].length };
}

/** The line without that status at its start. */
export function withoutStatus(line: string, status: EnhancedStatus): string {
  const match = enhancedStatus.exec(line);
  if (match === null) return line;
  const same = `${match[1]}.${Number(match[2])}.${Number(match[3])}` === status;
  return same ? line.slice(match[0].length) : line;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: C0, DEL, C1 and Unicode line ends would split logs and DSN fields
const controls = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g;

/** @param line  with its code */
function textOf(line: string): string {
  // The CR of its end, which would be a control character, is in every line.
  const end = line.endsWith("\r") ? line.length - 1 : line.length;
  return line
    .slice(4, Math.min(end, 4 + maxLineLength))
    .replace(controls, " ")
    .trim();
}

/** The first lines, `maxLength` characters in all. */
function bounded(lines: string[]): string[] {
  let room = maxLength;
  const kept: string[] = [];
  for (const line of lines) {
    if (kept.length > 0 && room <= 0) break;
    kept.push(line.slice(0, room));
    room -= line.length;
  }
  return kept;
}
