/**
 * One SMTP dialogue seen from between its two ends: follows commands, replies, AUTH and message framing, and passes
 * every octet on as it came, except for what the rules change. Pure: it calls its sink, and opens and times nothing.
 */
import { CommandLineReader, parseCommandLine } from "../../../shared/smtp/command-line.ts";
import { ehloKeywords, ReplyReader, type WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import { hideExtensions } from "./ehlo-reply.ts";
import { EndOfData, terminatorOctets } from "./end-of-data.ts";
import { ExpectedReplies } from "./expected-replies.ts";
import {
  type Answered,
  isGoAhead,
  type ObservedTransaction,
  TransactionObserver,
} from "./observed-transactions.ts";
import { hiddenKeywords, type ProxyRules, refusal, type ServerFacts } from "./rules.ts";

/** Why the rest of a dialogue passes unread. */
export type OpaqueReason = "starttls" | "sasl-layer" | "turn" | "unknown-command";

export interface DialogueSink {
  toServer(octets: Buffer): void;
  toClient(octets: Buffer): void;
  transaction(transaction: ObservedTransaction): void;
  /** Whether the client may begin another message; asked where the rules limit that. */
  admitMail(): boolean | Promise<boolean>;
  /** What was held for the answer to that has gone on. */
  wentOn(): void;
  /** From here on nothing is understood, only passed. */
  opaque(reason: OpaqueReason): void;
  /** The server said what cannot be passed under the rules: as good as gone. */
  serverBroken(reason: string): void;
}

/** What the next octet from the client is part of. */
type ClientMode =
  | "command"
  /** The rest of a command line too long to hold. */
  | "long-line"
  /** Only the reply can tell what follows (DATA, AUTH, STARTTLS, unknown commands): held until then. */
  | "waiting"
  | "auth-response"
  | "message"
  | "chunk"
  | "opaque";

export class Dialogue {
  readonly #sink: DialogueSink;
  readonly #rules: ProxyRules;
  readonly #hidden: ReadonlySet<string>;
  readonly #transactions: TransactionObserver;
  readonly #commands = new CommandLineReader();
  readonly #replies = new ReplyReader();
  readonly #dataEnd = new EndOfData();
  readonly #expected = new ExpectedReplies();
  readonly #facts: ServerFacts = {
    isAuthenticated: false,
    offersChunking: false,
    isOverRate: false,
  };
  #mode: ClientMode = "command";
  /** What comes after the end of a long line. */
  #modeAfterLine: ClientMode = "command";
  /** Whether the rest of a long line, or a chunk, goes to the server: not when its command was refused. */
  #isPassing = true;
  /** Octets of the BDAT chunk that are still to come. */
  #chunkLeft = 0;
  /** The message from 354 to its reply. */
  #message: { kind: "message"; octets: number } | undefined;
  /** Octets of the client for which it is too early. */
  #held: Buffer[] = [];
  /** The reply that is coming is passed when it is whole, without what is hidden. */
  #isEditing = false;
  #maySeeSaslLayer = false;
  #isClosing = false;
  #hasEnded = false;
  /** What was answered for the MAIL that is read next. */
  #mailDecision: boolean | undefined;

  constructor(rules: ProxyRules, sink: DialogueSink) {
    this.#sink = sink;
    this.#rules = rules;
    this.#hidden = hiddenKeywords(rules);
    this.#transactions = new TransactionObserver((transaction) => sink.transaction(transaction));
  }

  /** The client should not be read: what it sent waits for the server's reply. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  get isOpaque(): boolean {
    return this.#mode === "opaque";
  }

  /** Nothing is under way: no transaction, no command without its reply. */
  get isIdle(): boolean {
    return (
      this.#mode === "command" &&
      this.#expected.isEmpty &&
      !this.#transactions.isOpen &&
      !this.#commands.isInLine &&
      this.#replies.isBetweenReplies
    );
  }

  /** A reply of ours would be understood as one. */
  get maySpeak(): boolean {
    return this.#mode !== "opaque" && this.#replies.isBetweenReplies;
  }

  /** The server is expected to close: QUIT went to it, or it said 421 (RFC 5321 §3.8). */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  fromClient(chunk: Buffer): void {
    if (this.#mode === "opaque") this.#sink.toServer(chunk);
    else if (this.#held.length > 0) this.#held.push(chunk);
    else this.#readClient(chunk);
  }

  fromServer(chunk: Buffer): void {
    if (this.#mode === "opaque") this.#sink.toClient(chunk);
    else this.#readServer(chunk);
  }

  /** After the client's last octet: the beginning of a line that will not end any more passes too. */
  clientEnded(): void {
    const rest = this.#commands.rest();
    if (rest !== undefined) this.#sink.toServer(rest);
  }

  /** When either connection is gone. */
  ended(): void {
    this.#hasEnded = true;
    const unanswered = this.#expected.chunkOctets - (this.#isPassing ? this.#chunkLeft : 0);
    this.#transactions.connectionEnded((this.#message?.octets ?? 0) + Math.max(0, unanswered));
  }

  #readClient(chunk: Buffer): void {
    /** From `start` to `at` octets are read, but not yet passed. */
    let start = 0;
    let at = 0;
    while (at < chunk.length && this.#mode !== "opaque") {
      if (this.#mode === "waiting" || (this.#mode === "command" && this.#expected.isFull)) {
        this.#pass(chunk, start, at);
        this.#held.push(chunk.subarray(at));
        return;
      }
      if (this.#mode !== "command") {
        at = this.#readContent(this.#mode, chunk, at);
        if (!this.#isPassing) start = at;
        continue;
      }
      this.#isPassing = true;
      if (this.#maySeeSaslLayer) {
        this.#maySeeSaslLayer = false;
        // RFC 4422 §3.7: a security layer sends its buffers behind a length of four octets, big-endian.
        if (chunk[at] === 0) {
          this.#becomeOpaque("sasl-layer");
          break;
        }
      }
      const wasInLine = this.#commands.isInLine;
      const taken = this.#commands.take(chunk, at);
      if (taken === undefined) {
        this.#pass(chunk, start, at);
        return;
      }
      if (this.#rules.limitsMail === true && !this.#isAdmitted(taken.line)) {
        this.#pass(chunk, start, at);
        this.#held.push(
          wasInLine ? Buffer.concat([taken.line, chunk.subarray(taken.next)]) : chunk.subarray(at),
        );
        return;
      }
      const isForServer = this.#readCommand(taken.line, taken.ended);
      this.#mailDecision = undefined;
      this.#facts.isOverRate = false;
      if (wasInLine && isForServer) this.#sink.toServer(taken.line);
      if (!wasInLine && !isForServer) this.#pass(chunk, start, at);
      at = taken.next;
      if (wasInLine || !isForServer) start = at;
    }
    this.#pass(chunk, start, chunk.length);
  }

  /** @returns false when the answer is still to come: the line is to be read again then */
  #isAdmitted(line: Buffer): boolean {
    const command = parseCommandLine(line);
    // What is refused anyway does not count.
    const isBegun = command.kind === "mail" && refusal(command, line, this.#rules, this.#facts) === undefined;
    if (!isBegun || this.#mailDecision !== undefined) return true;
    const decision = this.#sink.admitMail();
    if (typeof decision === "boolean") {
      this.#judgeMail(decision);
      return true;
    }
    this.#mode = "waiting";
    void decision.then((isAdmitted) => {
      if (this.#hasEnded) return;
      this.#judgeMail(isAdmitted);
      this.#mode = "command";
      this.#release();
      this.#sink.wentOn();
    });
    return false;
  }

  #judgeMail(isAdmitted: boolean): void {
    this.#mailDecision = isAdmitted;
    this.#facts.isOverRate = !isAdmitted;
  }

  #pass(chunk: Buffer, start: number, end: number): void {
    if (end > start) this.#sink.toServer(end - start === chunk.length ? chunk : chunk.subarray(start, end));
  }

  /** What is not a command line. @returns where it stops in this chunk */
  #readContent(mode: "long-line" | "auth-response" | "message" | "chunk", chunk: Buffer, at: number): number {
    switch (mode) {
      case "message": {
        const end = this.#dataEnd.find(chunk, at);
        const next = end < 0 ? chunk.length : end;
        if (this.#message !== undefined) this.#message.octets += next - at - (end < 0 ? 0 : terminatorOctets);
        if (end >= 0) this.#mode = "command";
        return next;
      }
      case "chunk": {
        const next = Math.min(chunk.length, at + this.#chunkLeft);
        this.#chunkLeft -= next - at;
        if (this.#chunkLeft === 0) this.#mode = "command";
        return next;
      }
      case "long-line": {
        const lineFeed = chunk.indexOf(0x0a, at);
        if (lineFeed >= 0) this.#mode = this.#modeAfterLine;
        return lineFeed < 0 ? chunk.length : lineFeed + 1;
      }
      case "auth-response": {
        const lineFeed = chunk.indexOf(0x0a, at);
        if (lineFeed < 0) return chunk.length;
        this.#expected.fromServer({ kind: "auth-response" });
        this.#mode = "waiting";
        return lineFeed + 1;
      }
      default:
        return unreachable(mode);
    }
  }

  /** @returns whether the line goes to the server */
  #readCommand(line: Buffer, ended: boolean): boolean {
    const command = parseCommandLine(line);
    const refused = refusal(command, line, this.#rules, this.#facts);
    this.#isPassing = refused === undefined;
    let mode: ClientMode = "command";
    switch (command.kind) {
      case "bdat":
        // RFC 3030 §2: the chunk follows its command, whatever becomes of both.
        this.#chunkLeft = command.octets;
        if (command.octets > 0) mode = "chunk";
        break;
      case "data":
      case "auth":
      case "starttls":
      case "turn":
      case "unknown":
        if (refused === undefined) mode = "waiting";
        break;
      case "quit":
        this.#isClosing = true;
        break;
      default:
        break;
    }
    this.#mode = ended ? mode : "long-line";
    this.#modeAfterLine = mode;
    if (refused === undefined) this.#expected.fromServer(command);
    else this.#expected.fromUs(command, refused);
    if (this.#replies.isBetweenReplies) this.#giveOurs();
    return refused === undefined;
  }

  #readServer(chunk: Buffer): void {
    let start = 0;
    let at = 0;
    // The client need not wait until we have read it.
    if (this.#held.length === 0 && this.#expected.arePlain) {
      this.#sink.toClient(chunk);
      start = chunk.length;
    }
    const pass = () => {
      if (at > start) this.#sink.toClient(at - start === chunk.length ? chunk : chunk.subarray(start, at));
      start = at;
    };
    while (at < chunk.length && this.#mode !== "opaque") {
      if (this.#replies.isBetweenReplies) {
        this.#isEditing = this.#hidden.size > 0 && this.#expected.next?.kind === "hello";
        if (this.#isEditing) pass();
      }
      const read = this.#replies.read(chunk, at);
      at = read?.end ?? chunk.length;
      if (this.#isEditing) {
        start = at;
        if (read?.reply.isCut) {
          this.#sink.serverBroken("an EHLO reply of more than 64 KB");
          return;
        }
        if (read !== undefined) this.#sink.toClient(hideExtensions(read.reply.octets, this.#hidden));
      }
      if (read === undefined) break;
      // What a reply sets free may make us reply as well: the server's comes first.
      if (this.#held.length > 0 || this.#expected.isOursDue) pass();
      const answered = this.#expected.take();
      if (read.reply.code === 421) this.#isClosing = true;
      if (answered !== undefined) this.#readReply(answered, read.reply);
      this.#giveOurs();
      if (this.#mode !== "waiting" && this.#expected.hasRoom) this.#release();
    }
    at = chunk.length;
    pass();
  }

  #readReply(answered: Answered, reply: WholeReply): void {
    this.#transactions.replied(answered, reply);
    switch (answered.kind) {
      case "hello":
        if (this.#hidden.size > 0) this.#facts.offersChunking = ehloKeywords(reply).has("CHUNKING");
        return;
      case "data":
        this.#mode = "command";
        if (!isGoAhead(reply)) return;
        this.#mode = "message";
        this.#dataEnd.restart();
        this.#message = { kind: "message", octets: 0 };
        this.#expected.fromServer(this.#message);
        return;
      case "message":
        this.#message = undefined;
        return;
      case "auth":
      case "auth-response":
        this.#mode = isGoAhead(reply) ? "auth-response" : "command";
        // RFC 4954 §4: 235 and nothing else says that it succeeded.
        if (reply.code !== 235) return;
        this.#facts.isAuthenticated = true;
        this.#maySeeSaslLayer = true;
        return;
      case "starttls":
        this.#mode = "command";
        if (reply.code === 220) this.#becomeOpaque("starttls");
        return;
      case "turn":
        this.#mode = "command";
        if (reply.code >= 200 && reply.code < 300) this.#becomeOpaque("turn");
        return;
      case "unknown":
        this.#mode = "command";
        if (isGoAhead(reply)) this.#becomeOpaque("unknown-command");
        return;
      case "xclient":
        // Postfix XCLIENT: 220 is a new greeting, and the session starts again.
        if (reply.code === 220) this.#facts.isAuthenticated = false;
        return;
      default:
        return;
    }
  }

  #giveOurs(): void {
    for (let next = this.#expected.takeOurs(); next !== undefined; next = this.#expected.takeOurs()) {
      this.#transactions.replied(next.answered, next.ours);
      this.#sink.toClient(next.ours.octets);
    }
  }

  #becomeOpaque(reason: OpaqueReason): void {
    this.#mode = "opaque";
    this.#sink.opaque(reason);
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    for (const chunk of held) this.fromClient(chunk);
  }
}
