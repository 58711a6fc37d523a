/** Servers that frame what they receive each in its own way. They know nothing of policies; they note what they execute. */
import type { Random } from "../../unit/ingress/outgoing/model-dialogue.ts";

/** How a server reads octets. Each is what some real server does or did, or what a careless one would do. */
export interface Framing {
  /** What ends a line: CRLF alone; LF with or without CR; either, and a CR alone; or each CR and each LF. */
  lineEnd: "crlf" | "lf" | "cr-or-lf" | "cr-and-lf";
  /** A line of more octets is cut in two: the rest is the next line. */
  splitAt: number;
  /** NULs are dropped where they stand. */
  dropsNul: boolean;
  /** White space before a verb is skipped. */
  skipsSpace: boolean;
  /** A verb may have more letters behind it. */
  comparesBeginnings: boolean;
  /** Without: BDAT gets 503, and its chunk is read as commands. */
  chunking: boolean;
  startTls: boolean;
  /** How a size of BDAT is understood. */
  sizes: "exact" | "modulo 2^32" | "signed" | "octal";
  /** Replies to a message or a chunk before its end, and swallows the rest. */
  answersEarly: boolean;
  /** `220 a` and then `220 b`. */
  greetsTwice: boolean;
  /** An unknown verb gets 354, and one line is swallowed. */
  asksForMore: boolean;
}

/** What happened, in order: verbs that were executed, and `235` where AUTH was accepted. */
export type Executed = "MAIL" | "235" | "STARTTLS" | "XCLIENT";

/** The credentials that are accepted, in base64. */
export const goodCredentials = "AGEAYg==";

export class OddServer {
  /** Replies that have not been read yet. */
  out = "";
  readonly executed: Executed[] = [];
  /** Whether a MAIL would be one of an authenticated client. */
  isAuthenticated = false;
  /** A MAIL came before AUTH was accepted. */
  mailBeforeAuth = false;
  readonly #framing: Framing;
  readonly #random: Random;
  #in = "";
  #state: "command" | "auth" | "data" | "one-line" | "tls" = "command";
  #isExtended = false;
  #chunkLeft = 0;
  #hasAnsweredEarly = false;

  constructor(framing: Framing, random: Random) {
    this.#framing = framing;
    this.#random = random;
    this.#say(framing.greetsTwice ? "220 a\r\n220 b" : "220 odd.test");
  }

  take(octets: Buffer): void {
    const text = octets.toString("latin1");
    this.#in += this.#framing.dropsNul ? text.replaceAll("\0", "") : text;
    while (this.#state !== "tls" && this.#step());
  }

  #step(): boolean {
    if (this.#chunkLeft > 0) return this.#readChunk();
    if (this.#state === "data") return this.#readData();
    const line = this.#cutLine();
    if (line === undefined) return false;
    switch (this.#state) {
      case "auth":
        this.#finishAuth(line);
        break;
      case "one-line":
        this.#state = "command";
        this.#say("250 thank you");
        break;
      default:
        this.#execute(line);
    }
    return true;
  }

  #cutLine(): string | undefined {
    const { lineEnd, splitAt } = this.#framing;
    const ends = { crlf: /\r\n/, lf: /\r?\n/, "cr-or-lf": /\r\n|\n|\r(?=[\s\S])/, "cr-and-lf": /\r|\n/ };
    const end = ends[lineEnd].exec(this.#in);
    const length = end === null ? this.#in.length : end.index;
    if (length > splitAt) return this.#cut(splitAt);
    if (end === null) return undefined;
    const line = this.#cut(end.index);
    this.#cut(end[0].length);
    return line;
  }

  #cut(octets: number): string {
    const taken = this.#in.slice(0, octets);
    this.#in = this.#in.slice(octets);
    return taken;
  }

  #execute(given: string): void {
    const line = this.#framing.skipsSpace ? given.trimStart() : given;
    const verbs = ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STARTTLS", "XCLIENT"];
    const others = ["RSET", "NOOP", "QUIT", "ATRN"];
    const word = line.split(/[ \t]/, 1)[0]?.toUpperCase() ?? "";
    const verb = this.#framing.comparesBeginnings
      ? [...verbs, ...others].find((known) => word.startsWith(known))
      : word;
    switch (verb) {
      case "EHLO":
      case "HELO":
        this.#isExtended = verb === "EHLO";
        this.#greet();
        break;
      case "MAIL":
        this.executed.push("MAIL");
        if (!this.isAuthenticated) this.mailBeforeAuth = true;
        this.#maybe("250 ok");
        break;
      case "RCPT":
      case "RSET":
      case "NOOP":
      case "ATRN":
        this.#say("250 ok");
        break;
      case "DATA":
        this.#state = "data";
        this.#in = `\r\n${this.#in}`;
        this.#say("354 go on");
        break;
      case "BDAT":
        this.#bdat(line);
        break;
      case "AUTH":
        this.#auth(line);
        break;
      case "STARTTLS":
        this.executed.push("STARTTLS");
        if (this.#framing.startTls) this.#state = "tls";
        this.#say(this.#framing.startTls ? "220 go on" : "502 no");
        break;
      case "XCLIENT":
        this.executed.push("XCLIENT");
        this.isAuthenticated = false;
        this.#isExtended = false;
        this.#say("220 odd.test");
        break;
      case "QUIT":
        this.#say("221 bye");
        break;
      default:
        if (this.#framing.asksForMore && verb !== "") {
          this.#state = "one-line";
          this.#say("354 more");
        } else this.#say("500 what?");
    }
  }

  #greet(): void {
    const offers = ["PIPELINING", "AUTH PLAIN LOGIN GSSAPI", "XCLIENT ADDR LOGIN"];
    if (this.#framing.startTls) offers.push("STARTTLS");
    if (this.#framing.chunking) offers.push("CHUNKING");
    this.#say(this.#isExtended ? ["250-odd.test", ...offers].join("\r\n250-") : "250 odd.test");
  }

  #auth(line: string): void {
    const [, mechanism = "", initial] = line.split(/[ \t]+/);
    if (mechanism === "" || mechanism.startsWith("X")) this.#say("504 no");
    else if (initial === undefined) {
      this.#state = "auth";
      this.#say("334 ");
    } else this.#finishAuth(initial);
  }

  #finishAuth(response: string): void {
    this.#state = "command";
    if (response === goodCredentials) {
      this.executed.push("235");
      this.isAuthenticated = true;
      this.#say("235 welcome");
    } else this.#say("535 no");
  }

  #bdat(line: string): void {
    const match = /^\s*BDAT[ \t]+([0-9]+)[ \t]*(.*)$/i.exec(line);
    if (match === null || !this.#framing.chunking || !this.#isExtended) {
      this.#say(match === null ? "501 size" : "503 not offered");
      return;
    }
    const digits = match[1] ?? "";
    switch (this.#framing.sizes) {
      case "modulo 2^32":
        this.#chunkLeft = Number(BigInt(digits) % 2n ** 32n);
        break;
      case "signed":
        this.#chunkLeft = Math.max(0, Number(BigInt.asIntN(32, BigInt(digits))));
        break;
      case "octal":
        this.#chunkLeft = Number.parseInt(digits, digits.startsWith("0") ? 8 : 10);
        break;
      default:
        this.#chunkLeft = Number(digits);
    }
    this.#hasAnsweredEarly = false;
    if (this.#chunkLeft === 0) this.#say("250 chunk");
  }

  #readChunk(): boolean {
    if (this.#in === "") return false;
    this.#chunkLeft -= this.#cut(this.#chunkLeft).length;
    if (this.#chunkLeft === 0) {
      if (!this.#hasAnsweredEarly) this.#say("250 chunk");
    } else this.#maybeAnswerEarly();
    return true;
  }

  #readData(): boolean {
    const ends = {
      crlf: /\r\n\.\r\n/,
      lf: /\n\.\r?\n/,
      "cr-or-lf": /[\r\n]\.(?:\r\n|\n|\r(?=[\s\S]))/,
      "cr-and-lf": /[\r\n]\.[\r\n]/,
    };
    const end = ends[this.#framing.lineEnd].exec(this.#in);
    if (end === null) {
      if (this.#in.length > 2) this.#maybeAnswerEarly();
      return false;
    }
    this.#cut(end.index + end[0].length);
    this.#state = "command";
    if (!this.#hasAnsweredEarly) this.#say("250 queued");
    this.#hasAnsweredEarly = false;
    return true;
  }

  #maybeAnswerEarly(): void {
    if (!this.#framing.answersEarly || this.#hasAnsweredEarly || this.#random() < 0.5) return;
    this.#hasAnsweredEarly = true;
    this.#say(this.#random() < 0.5 ? "250 enough" : "552 too large");
  }

  #maybe(reply: string): void {
    this.#say(this.#random() < 0.9 ? reply : "451 later");
  }

  /** The last line gets its space by the shape of the text. */
  #say(reply: string): void {
    const lines = reply.split("\r\n");
    const isGreeting = lines.length === 2 && reply.startsWith("220");
    if (!isGreeting && lines.length > 1) lines.push(lines.pop()?.replace("250-", "250 ") ?? "");
    this.out += `${lines.join("\r\n")}\r\n`;
  }
}
