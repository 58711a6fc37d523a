/**
 * One SMTP dialogue seen from between its two ends: follows commands, replies, AUTH and message framing, and passes
 * every octet on as it came, except for what the rules change. While a rule refuses anything, nothing passes whose meaning to
 * the server is unknown: then the dialogue ends. Pure: it calls its sink, and opens and times nothing.
 */
import { type Command, CommandLineReader, parseCommandLine } from "../../../shared/smtp/command-line.ts";
import { ReplyReader, type WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { ClientFraming, type OpaqueReason } from "./client-framing.ts";
import { ExpectedReplies } from "./expected-replies.ts";
import { MailAdmission } from "./mail-admission.ts";
import { ObservedServer } from "./observed-server.ts";
import { type Answered, type ObservedTransaction, TransactionObserver } from "./observed-transactions.ts";
import { type EndReason, whyOutOfStep } from "./out-of-step.ts";
import { replies } from "./proxy-replies.ts";
import { hiddenKeywords, hideExtensions, isEnforcing, type ProxyRules, refusal } from "./rules.ts";
import { endedByCrlf, maxAuthOctets, refusalOfAuthResponse } from "./strict-lines.ts";

export interface DialogueSink {
  sendToServer(octets: Buffer): void;
  sendToClient(octets: Buffer): void;
  transactionEnded(transaction: ObservedTransaction): void;
  /** Whether the client may begin another message; asked where the rules limit that. */
  admitMail(): boolean | Promise<boolean>;
  /** What was held until that was decided has been read. */
  heldInputRead(): void;
  /** From here on nothing is understood, only passed. */
  becameOpaque(reason: OpaqueReason): void;
  /**
   * A policy is in force, and what more passed would mean to the server is unknown: both connections are to end.
   * @param lastReply  for the client; absent: a part of another has reached it
   */
  endDialogue(reason: EndReason, lastReply: WholeReply | undefined): void;
}

/** RFC 4954 §4: cancels an AUTH exchange. */
const cancelAuth = Buffer.from("*\r\n");

export class Dialogue {
  readonly #sink: DialogueSink;
  readonly #rules: ProxyRules;
  readonly #hidden: ReadonlySet<string>;
  readonly #transactions: TransactionObserver;
  readonly #isEnforcing: boolean;
  readonly #commands: CommandLineReader;
  readonly #replies = new ReplyReader();
  readonly #expected = new ExpectedReplies();
  readonly #framing: ClientFraming;
  readonly #server = new ObservedServer();
  readonly #admission: MailAdmission;
  /** Octets of the client that cannot be read yet. */
  #held: Buffer[] = [];
  /** The client has sent something. */
  #hasBegun = false;
  /** The reply that is coming passes when it is whole: without the hidden extensions, or as another. */
  #isRewritingReply = false;
  /** A part of the reply that is coming has reached the client. */
  #isReplyCut = false;
  #isClosing = false;
  #hasEnded = false;

  constructor(rules: ProxyRules, sink: DialogueSink) {
    this.#sink = sink;
    this.#rules = rules;
    this.#hidden = hiddenKeywords(rules);
    this.#isEnforcing = isEnforcing(rules);
    this.#commands = this.#isEnforcing ? new CommandLineReader(maxAuthOctets) : new CommandLineReader();
    this.#framing = new ClientFraming(this.#expected, this.#isEnforcing);
    this.#admission = new MailAdmission(
      () => sink.admitMail(),
      () => this.#mailDecided(),
    );
    this.#transactions = new TransactionObserver((transaction) => sink.transactionEnded(transaction));
  }

  /** The client should not be read: what it sent waits for the server's reply. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  get isOpaque(): boolean {
    return this.#framing.phase === "opaque";
  }

  /** Nothing is under way: no transaction, no command without its reply. */
  get isIdle(): boolean {
    return (
      this.#framing.phase === "command" &&
      this.#expected.isEmpty &&
      !this.#transactions.isOpen &&
      !this.#commands.isInLine &&
      this.#replies.isBetweenReplies
    );
  }

  /** A reply of ours would be understood as one. */
  get maySpeak(): boolean {
    return !this.isOpaque && this.#replies.isBetweenReplies;
  }

  /** The server is expected to close: QUIT went to it, or it replied 421 (RFC 5321 §3.8). */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  fromClient(chunk: Buffer): void {
    if (this.#hasEnded) return;
    if (this.isOpaque) this.#sink.sendToServer(chunk);
    else if (this.#held.length > 0) this.#held.push(chunk);
    else this.#readClient(chunk);
  }

  fromServer(chunk: Buffer): void {
    if (this.#hasEnded) return;
    if (this.isOpaque) this.#sink.sendToClient(chunk);
    else this.#readServer(chunk);
  }

  /** When either connection is gone. */
  ended(): void {
    this.#hasEnded = true;
    this.#transactions.connectionEnded(this.#framing.unansweredOctets);
  }

  #readClient(chunk: Buffer): void {
    const framing = this.#framing;
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      if (!mayBeginCommand(chunk[0])) this.#loseTrack("not-smtp");
    }
    /** From `start` to `at` octets are read, but not yet passed. */
    let start = 0;
    let at = 0;
    while (at < chunk.length && !this.isOpaque && !this.#hasEnded) {
      if (framing.isBlocked || (framing.phase === "command" && this.#expected.isFull)) {
        this.#pass(chunk, start, at);
        this.#held.push(chunk.subarray(at));
        return;
      }
      if (!this.#readsLine()) {
        at = framing.readContent(chunk, at);
        if (framing.isEndUnclear) {
          this.#end("unclear-end-of-data", replies.unclearEndOfData);
          return;
        }
        if (!framing.isForServer) start = at;
        continue;
      }
      if (framing.phase === "command" && framing.startsSaslLayer(chunk[at])) {
        this.#loseTrack("sasl-layer");
        break;
      }
      const wasInLine = this.#commands.isInLine;
      const taken = this.#commands.readLine(chunk, at);
      if (taken === undefined) {
        // A line that may be refused passes when it is whole.
        this.#pass(chunk, start, this.#isEnforcing ? at : chunk.length);
        return;
      }
      const { line, ended, next } = taken;
      const read =
        framing.phase === "command" ? this.#readCommand(line, ended) : this.#readAuthResponse(line, ended);
      if (read === "undecided") {
        this.#pass(chunk, start, at);
        this.#held.push(wasInLine ? Buffer.concat([line, chunk.subarray(next)]) : chunk.subarray(at));
        return;
      }
      if (!this.#isEnforcing || (read === line && !wasInLine)) {
        at = next;
        continue;
      }
      this.#pass(chunk, start, at);
      if (read !== undefined) this.#pass(read, 0, read.length);
      at = next;
      start = at;
    }
    this.#pass(chunk, start, chunk.length);
  }

  /** Whether what comes next is read line by line, as lines that a rule may refuse are. */
  #readsLine(): boolean {
    const { phase } = this.#framing;
    return phase === "command" || (phase === "auth-response" && this.#isEnforcing);
  }

  #pass(chunk: Buffer, start: number, end: number): void {
    if (end > start && !this.#hasEnded)
      this.#sink.sendToServer(end - start === chunk.length ? chunk : chunk.subarray(start, end));
  }

  /** @returns what goes to the server; `undecided`: the line is to be held, and read again */
  #readCommand(line: Buffer, ended: boolean): Buffer | "undecided" | undefined {
    const command = parseCommandLine(line);
    // A PROXY header, or another protocol: a client of SMTP waits for the greeting (RFC 5321 §4.3.1).
    if (command.kind === "unknown" && this.#expected.isUntouched) {
      this.#loseTrack("not-smtp");
      return line;
    }
    const refused = this.#whyRefused(command, line, ended);
    if (refused === "undecided") return refused;
    if (command.kind === "mail") this.#admission.forget();
    if (command.kind === "quit") this.#isClosing = true;
    this.#framing.readCommand(command, ended, refused);
    if (this.#isEnforcing && refused === undefined) this.#server.commandPassed(command);
    if (this.#replies.isBetweenReplies) this.#sendOurs();
    if (refused !== undefined) return undefined;
    return this.#isEnforcing ? endedByCrlf(line) : line;
  }

  /** @returns what goes to the server */
  #readAuthResponse(line: Buffer, ended: boolean): Buffer {
    const refused = refusalOfAuthResponse(line, ended);
    this.#framing.readAuthResponse(ended, refused);
    return refused === undefined ? endedByCrlf(line) : cancelAuth;
  }

  /** @returns the reply that refuses a command, if any; `undecided`: its line is to be held, and read again */
  #whyRefused(command: Command, line: Buffer, ended: boolean): WholeReply | "undecided" | undefined {
    const refused = refusal(command, line, ended, this.#rules, this.#server);
    // What is refused anyway does not count.
    if (command.kind !== "mail" || refused !== undefined || this.#rules.limitsMail !== true) return refused;
    const isAdmitted = this.#admission.decide();
    if (isAdmitted === undefined) {
      this.#framing.awaitAdmission();
      return "undecided";
    }
    return isAdmitted ? undefined : replies.tooManyMessages;
  }

  #mailDecided(): void {
    if (this.#hasEnded) return;
    this.#framing.admissionDecided();
    this.#readHeld();
    this.#sink.heldInputRead();
  }

  #readServer(chunk: Buffer): void {
    let start = 0;
    let at = 0;
    // The client need not wait until we have read it.
    if (!this.#isEnforcing && this.#held.length === 0 && this.#expected.arePlain) {
      this.#sink.sendToClient(chunk);
      start = chunk.length;
    }
    const passUntil = (end: number) => {
      if (end <= start) return;
      this.#sink.sendToClient(end - start === chunk.length ? chunk : chunk.subarray(start, end));
      start = end;
    };
    while (at < chunk.length && !this.isOpaque && !this.#hasEnded) {
      const begin = at;
      if (this.#replies.isBetweenReplies) {
        this.#isRewritingReply = this.#isEnforcing && this.#isRewritten();
        if (this.#isRewritingReply) passUntil(begin);
      }
      const read = this.#replies.read(chunk, at);
      at = read?.end ?? chunk.length;
      if (read === undefined) {
        if (this.#isRewritingReply) start = at;
        else this.#isReplyCut = true;
        break;
      }
      const { reply } = read;
      const fault = this.#isEnforcing ? this.#whyOutOfStep(reply) : undefined;
      if (fault !== undefined) {
        passUntil(begin);
        // What the server refuses, it may say itself.
        const isRefusal = reply.code >= 400 && !reply.isCut;
        this.#end(fault, isRefusal ? reply : replies.outOfStep);
        return;
      }
      this.#isReplyCut = false;
      if (this.#isRewritingReply) {
        start = at;
        this.#sink.sendToClient(this.#expected.instead?.octets ?? hideExtensions(reply.octets, this.#hidden));
      }
      // This reply may be followed by one of ours, at once or when held commands are read: the server's comes first.
      if (this.#held.length > 0 || this.#expected.isOursDue) passUntil(at);
      const answered = this.#expected.removeServers();
      if (reply.code === 421) this.#isClosing = true;
      if (answered !== undefined) this.#readReply(answered, reply);
      this.#sendOurs();
      if (!this.#framing.isBlocked && this.#expected.hasRoom) this.#readHeld();
    }
    if (!this.#hasEnded) passUntil(chunk.length);
  }

  #isRewritten(): boolean {
    if (this.#expected.instead !== undefined) return true;
    return this.#hidden.size > 0 && this.#expected.next?.kind === "hello";
  }

  #whyOutOfStep(reply: WholeReply): EndReason | undefined {
    const answered = this.#expected.next;
    // RFC 4954 §4: a server rejects a cancelled AUTH.
    if (this.#expected.instead !== undefined && reply.code < 400) return "misplaced-reply";
    return whyOutOfStep(answered, this.#framing.isPartial(answered), reply);
  }

  #readReply(answered: Answered, reply: WholeReply): void {
    this.#transactions.readReply(answered, reply);
    const opaqueReason = this.#framing.readReply(answered, reply);
    if (opaqueReason !== undefined) this.#becomeOpaque(opaqueReason);
    if (this.#isEnforcing) this.#server.readReply(answered, reply);
  }

  #sendOurs(): void {
    for (let next = this.#expected.removeOurs(); next !== undefined; next = this.#expected.removeOurs()) {
      this.#transactions.readReply(next.answered, next.ours);
      this.#sink.sendToClient(next.ours.octets);
    }
  }

  /** What follows cannot be read. */
  #loseTrack(reason: OpaqueReason & EndReason): void {
    if (this.#isEnforcing) this.#end(reason, replies.outOfStep);
    else this.#becomeOpaque(reason);
  }

  #end(reason: EndReason, lastReply: WholeReply): void {
    const answered = this.#expected.removeServers();
    if (answered !== undefined) this.#transactions.readReply(answered, lastReply);
    this.#hasEnded = true;
    this.#held = [];
    this.#sink.endDialogue(reason, this.#isReplyCut ? undefined : lastReply);
  }

  #becomeOpaque(reason: OpaqueReason): void {
    this.#framing.becomeOpaque();
    this.#sink.becameOpaque(reason);
  }

  #readHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const chunk of held) this.fromClient(chunk);
  }
}

/** RFC 5321 §4.1.1: a command is text; white space before it is tolerated. TLS begins with 22. */
function mayBeginCommand(octet: number | undefined): boolean {
  return octet === undefined || (octet >= 0x20 && octet < 0x7f) || (octet >= 0x09 && octet <= 0x0d);
}
