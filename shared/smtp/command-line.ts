/** SMTP command lines (RFC 5321 §4.1): cuts them out of a stream and parses what the outgoing proxy needs to know. Pure. */

/**
 * RFC 5321 §4.5.3.1.4 gives a command 512 octets plus what extensions add; RFC 4954 §4 gives AUTH 12,288.
 * Of a longer line only the beginning is parsed.
 */
export const maxCommandOctets = 16 * 1024;

export interface CommandLine {
  /** With its line end; without one when `ended` is false. */
  line: Buffer;
  /** False: the line is longer than the reader keeps, and its rest is still to come. */
  ended: boolean;
  /** Where in the chunk the line stops. */
  next: number;
}

/**
 * Cuts lines at LF, with or without CR before it: a server that insists on CRLF sees fewer commands than this, never
 * more. Keeps the beginning of an unfinished line.
 */
export class CommandLineReader {
  readonly #maxOctets: number;
  #partial: Buffer | undefined;

  /** @param maxOctets  of a line, with its line end */
  constructor(maxOctets: number = maxCommandOctets) {
    this.#maxOctets = maxOctets;
  }

  /** Whether the beginning of a line is kept. */
  get isInLine(): boolean {
    return this.#partial !== undefined;
  }

  /** @returns the line that continues at `offset`; `undefined` when it has not ended, and the rest of the chunk is kept */
  readLine(chunk: Buffer, offset: number): CommandLine | undefined {
    const lineFeed = chunk.indexOf(0x0a, offset);
    const next = lineFeed < 0 ? chunk.length : lineFeed + 1;
    const piece = chunk.subarray(offset, next);
    const line = this.#partial === undefined ? piece : Buffer.concat([this.#partial, piece]);
    if (lineFeed < 0 && line.length <= this.#maxOctets) {
      this.#partial = line;
      return undefined;
    }
    this.#partial = undefined;
    return { line, ended: lineFeed >= 0, next };
  }
}

/** One command, as far as the outgoing proxy needs to know it. Paths are as the client gave them. */
export type Command =
  /** EHLO, HELO, and LHLO of RFC 2033. */
  | { kind: "hello"; verb: string; name: string }
  /** Also SEND, SOML and SAML of RFC 821, which begin a mail transaction too. */
  | { kind: "mail"; verb: string; reversePath: string }
  | { kind: "rcpt"; verb: string; forwardPath: string }
  | { kind: "data"; verb: string }
  /** RFC 3030 §2: so many octets follow the line. */
  | { kind: "bdat"; verb: string; octets: number; last: boolean }
  /** RFC 4468 §3.2: a chunk that the server fetches itself. */
  | { kind: "burl"; verb: string; last: boolean }
  /** RFC 4954; X-EXPS is the same thing under its older Exchange name. */
  | { kind: "auth"; verb: string; mechanism: string }
  | { kind: "starttls"; verb: string }
  | { kind: "rset"; verb: string }
  | { kind: "quit"; verb: string }
  /** Postfix XCLIENT, XFORWARD. */
  | { kind: "xclient"; verb: string }
  /** TURN, ATRN (RFC 2645): client and server change places. */
  | { kind: "turn"; verb: string }
  /** NOOP, HELP, VRFY, EXPN, ETRN: one line, one reply, no change of state. */
  | { kind: "plain"; verb: string }
  /** Unknown or malformed: only the reply shows what follows. */
  | { kind: "unknown"; verb: string };

const plain = new Set(["NOOP", "HELP", "VRFY", "EXPN", "ETRN"]);
/** Longer than any verb that exists. */
const maxVerbOctets = 16;

/** @param line  one command line, with or without its line end; never throws */
export function parseCommandLine(line: Buffer): Command {
  let start = 0;
  // RFC 5321 allows no white space here, but Postfix and others skip it, so it must not hide a command from the proxy.
  while (isWhiteSpace(line[start])) start++;
  let end = start;
  while (end < line.length && end - start <= maxVerbOctets && !isVerbEnd(line[end])) end++;
  const verb = line.toString("latin1", start, end).toUpperCase();
  const argument = () => line.toString("utf8", end).trim();
  switch (verb) {
    case "EHLO":
    case "HELO":
    case "LHLO":
      return { kind: "hello", verb, name: argument() };
    case "MAIL":
    case "SEND":
    case "SOML":
    case "SAML":
      return { kind: "mail", verb, reversePath: pathOf(argument()) };
    case "RCPT":
      return { kind: "rcpt", verb, forwardPath: pathOf(argument()) };
    case "DATA":
    case "STARTTLS":
    case "RSET":
    case "QUIT":
      return { kind: verb.toLowerCase() as "data" | "starttls" | "rset" | "quit", verb };
    case "BDAT": {
      const match = /^(\d{1,15})(?:[ \t]+(LAST))?$/i.exec(argument());
      if (match === null) return { kind: "unknown", verb };
      return { kind: "bdat", verb, octets: Number(match[1]), last: match[2] !== undefined };
    }
    case "BURL":
      return { kind: "burl", verb, last: /[ \t]LAST$/i.test(argument()) };
    case "AUTH":
    case "X-EXPS":
      return { kind: "auth", verb, mechanism: (argument().split(/[ \t]/, 1)[0] ?? "").toUpperCase() };
    case "XCLIENT":
    case "XFORWARD":
      return { kind: "xclient", verb };
    case "TURN":
    case "ATRN":
      return { kind: "turn", verb };
    default:
      return { kind: plain.has(verb) ? "plain" : "unknown", verb };
  }
}

/** The path of `FROM:<path> …` or `TO:<path> …` without its angle brackets, which some clients leave out. */
function pathOf(argument: string): string {
  const match = /^[^:]*:\s*(?:<((?:"(?:[^"\\]|\\.)*"|[^">])*)>|(\S*))/.exec(argument);
  return match?.[1] ?? match?.[2] ?? argument;
}

/** As isspace() of C has it. */
function isWhiteSpace(octet: number | undefined): boolean {
  return octet === 0x20 || (octet !== undefined && octet >= 0x09 && octet <= 0x0d);
}

function isVerbEnd(octet: number | undefined): boolean {
  return octet === undefined || octet <= 0x20;
}
