/** SMTP command lines (RFC 5321 §4.1): cutting them out of a stream, and what a watcher wants to know of each. */

/**
 * RFC 5321 §4.5.3.1.4 gives a command 512 octets plus what extensions add; RFC 4954 §4 gives AUTH 12288.
 * A line that is longer is understood by its beginning.
 */
export const maxCommandOctets = 16 * 1024;

export interface TakenLine {
  /** With its line end; without one when `ended` is false. */
  line: Buffer;
  /** False: the line is longer than `maxCommandOctets`, and its rest is still to come. */
  ended: boolean;
  /** Where in the chunk the line stops. */
  next: number;
}

/**
 * Cuts lines at LF, whatever precedes it: a server that wants CRLF sees fewer commands than we do, never more.
 * Holds the beginning of a line that has not ended yet.
 */
export class CommandLineReader {
  #partial: Buffer | undefined;

  /** Whether the beginning of a line is held. */
  get isInLine(): boolean {
    return this.#partial !== undefined;
  }

  /** @returns the line that goes on at `offset`; `undefined` when it has not ended, and the rest of the chunk is held */
  take(chunk: Buffer, offset: number): TakenLine | undefined {
    const lineFeed = chunk.indexOf(0x0a, offset);
    const next = lineFeed < 0 ? chunk.length : lineFeed + 1;
    const piece = chunk.subarray(offset, next);
    const line = this.#partial === undefined ? piece : Buffer.concat([this.#partial, piece]);
    if (lineFeed < 0 && line.length <= maxCommandOctets) {
      this.#partial = line;
      return undefined;
    }
    this.#partial = undefined;
    return { line, ended: lineFeed >= 0, next };
  }

  /** Gives up the beginning of a line that will not end any more. */
  rest(): Buffer | undefined {
    const rest = this.#partial;
    this.#partial = undefined;
    return rest;
  }
}

/** What one command line asks for, as far as it matters to who is only listening. Paths are as the client gave them. */
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
  | { kind: "auth"; verb: string }
  | { kind: "starttls"; verb: string }
  | { kind: "rset"; verb: string }
  | { kind: "quit"; verb: string }
  /** Postfix XCLIENT, XFORWARD. */
  | { kind: "xclient"; verb: string }
  /** TURN, ATRN (RFC 2645): client and server change places. */
  | { kind: "turn"; verb: string }
  /** NOOP, HELP, VRFY, EXPN, ETRN: one line, one reply, nothing changes. */
  | { kind: "plain"; verb: string }
  /** Not known, or not well-formed: what follows it only the reply can tell. */
  | { kind: "unknown"; verb: string };

const plain = new Set(["NOOP", "HELP", "VRFY", "EXPN", "ETRN"]);
/** Longer than any verb there is. */
const maxVerbOctets = 16;

/** @param line  one command line, with or without its line end; never throws */
export function parseCommandLine(line: Buffer): Command {
  let start = 0;
  // RFC 5321 allows none in front; Postfix and others skip blanks and CR, so these must not hide a command from us.
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
      return { kind: "auth", verb };
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

/** The path of `FROM:<path> …` or `TO:<path> …` without its angle brackets; also of clients that leave these out. */
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
