/**
 * One SMTP dialogue seen from between its two ends: follows commands, replies, AUTH and message framing, and passes
 * every octet on as it came, except for what the rules change. Pure: it calls its sink, and opens and times nothing.
 */
import { type Command, CommandLineReader, parseCommandLine } from "../../../shared/smtp/command-line.ts";
import { ehloKeywords, ReplyReader, type WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { ClientFraming, isAuthenticated, type OpaqueReason } from "./client-framing.ts";
import { ExpectedReplies } from "./expected-replies.ts";
import { type Answered, type ObservedTransaction, TransactionObserver } from "./observed-transactions.ts";
import { replies } from "./proxy-replies.ts";
import { hiddenKeywords, hideExtensions, type ProxyRules, refusal, type ServerFacts } from "./rules.ts";

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
  /** The server sent what cannot be passed under the rules: as good as gone. */
  serverBroken(reason: string): void;
}

export class Dialogue {
  readonly #sink: DialogueSink;
  readonly #rules: ProxyRules;
  readonly #hidden: ReadonlySet<string>;
  readonly #transactions: TransactionObserver;
  readonly #commands = new CommandLineReader();
  readonly #replies = new ReplyReader();
  readonly #expected = new ExpectedReplies();
  readonly #framing = new ClientFraming(this.#expected);
  readonly #facts: ServerFacts = { isAuthenticated: false, offersChunking: false };
  /** Octets of the client that cannot be read yet. */
  #held: Buffer[] = [];
  /** What was decided for the MAIL that is read next. */
  #mailDecision: boolean | undefined;
  /** The reply that is coming passes when it is whole, without the hidden extensions. */
  #isRewritingReply = false;
  #isClosing = false;
  #hasEnded = false;

  constructor(rules: ProxyRules, sink: DialogueSink) {
    this.#sink = sink;
    this.#rules = rules;
    this.#hidden = hiddenKeywords(rules);
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
    if (this.isOpaque) this.#sink.sendToServer(chunk);
    else if (this.#held.length > 0) this.#held.push(chunk);
    else this.#readClient(chunk);
  }

  fromServer(chunk: Buffer): void {
    if (this.isOpaque) this.#sink.sendToClient(chunk);
    else this.#readServer(chunk);
  }

  /** After the client's last octet: the beginning of a line that will not end any more passes too. */
  clientEnded(): void {
    const rest = this.#commands.takeRest();
    if (rest !== undefined) this.#sink.sendToServer(rest);
  }

  /** When either connection is gone. */
  ended(): void {
    this.#hasEnded = true;
    this.#transactions.connectionEnded(this.#framing.unansweredOctets);
  }

  #readClient(chunk: Buffer): void {
    const framing = this.#framing;
    /** From `start` to `at` octets are read, but not yet passed. */
    let start = 0;
    let at = 0;
    while (at < chunk.length && !this.isOpaque) {
      if (framing.isBlocked || (framing.phase === "command" && this.#expected.isFull)) {
        this.#pass(chunk, start, at);
        this.#held.push(chunk.subarray(at));
        return;
      }
      if (framing.phase !== "command") {
        at = framing.readContent(chunk, at);
        if (!framing.isForServer) start = at;
        continue;
      }
      if (framing.startsSaslLayer(chunk[at])) {
        this.#becomeOpaque("sasl-layer");
        break;
      }
      const wasInLine = this.#commands.isInLine;
      const taken = this.#commands.readLine(chunk, at);
      if (taken === undefined) {
        this.#pass(chunk, start, at);
        return;
      }
      const { line, ended, next } = taken;
      const command = parseCommandLine(line);
      const refused = this.#whyRefused(command, line);
      if (refused === "undecided") {
        this.#pass(chunk, start, at);
        this.#held.push(wasInLine ? Buffer.concat([line, chunk.subarray(next)]) : chunk.subarray(at));
        return;
      }
      this.#readCommand(command, ended, refused);
      const isForServer = refused === undefined;
      if (wasInLine && isForServer) this.#sink.sendToServer(line);
      if (!wasInLine && !isForServer) this.#pass(chunk, start, at);
      at = next;
      if (wasInLine || !isForServer) start = at;
    }
    this.#pass(chunk, start, chunk.length);
  }

  #pass(chunk: Buffer, start: number, end: number): void {
    if (end > start)
      this.#sink.sendToServer(end - start === chunk.length ? chunk : chunk.subarray(start, end));
  }

  /** @returns the reply that refuses a command, if any; `undecided`: its line is to be held, and read again */
  #whyRefused(command: Command, line: Buffer): WholeReply | "undecided" | undefined {
    const refused = refusal(command, line, this.#rules, this.#facts);
    // What is refused anyway does not count.
    if (command.kind !== "mail" || refused !== undefined || this.#rules.limitsMail !== true) return refused;
    const isAdmitted = this.#mailDecision ?? this.#askToAdmitMail();
    if (isAdmitted === undefined) return "undecided";
    return isAdmitted ? undefined : replies.tooManyMessages;
  }

  /** @returns `undefined` while that is being decided */
  #askToAdmitMail(): boolean | undefined {
    const decision = this.#sink.admitMail();
    if (typeof decision === "boolean") return decision;
    this.#framing.awaitAdmission();
    void decision.then((isAdmitted) => {
      if (this.#hasEnded) return;
      this.#mailDecision = isAdmitted;
      this.#framing.admissionDecided();
      this.#readHeld();
      this.#sink.heldInputRead();
    });
    return undefined;
  }

  #readCommand(command: Command, ended: boolean, refused: WholeReply | undefined): void {
    this.#mailDecision = undefined;
    if (command.kind === "quit") this.#isClosing = true;
    this.#framing.readCommand(command, ended, refused);
    if (this.#replies.isBetweenReplies) this.#sendOurs();
  }

  #readServer(chunk: Buffer): void {
    let start = 0;
    let at = 0;
    // The client need not wait until we have read it.
    if (this.#held.length === 0 && this.#expected.arePlain) {
      this.#sink.sendToClient(chunk);
      start = chunk.length;
    }
    const pass = () => {
      if (at > start)
        this.#sink.sendToClient(at - start === chunk.length ? chunk : chunk.subarray(start, at));
      start = at;
    };
    while (at < chunk.length && !this.isOpaque) {
      if (this.#replies.isBetweenReplies) {
        this.#isRewritingReply = this.#hidden.size > 0 && this.#expected.next?.kind === "hello";
        if (this.#isRewritingReply) pass();
      }
      const read = this.#replies.read(chunk, at);
      at = read?.end ?? chunk.length;
      if (this.#isRewritingReply) {
        start = at;
        if (read?.reply.isCut) {
          this.#sink.serverBroken("an EHLO reply of more than 64 KB");
          return;
        }
        if (read !== undefined) this.#sink.sendToClient(hideExtensions(read.reply.octets, this.#hidden));
      }
      if (read === undefined) break;
      // This reply may be followed by one of ours, at once or when held commands are read: the server's comes first.
      if (this.#held.length > 0 || this.#expected.isOursDue) pass();
      const answered = this.#expected.removeServers();
      if (read.reply.code === 421) this.#isClosing = true;
      if (answered !== undefined) this.#readReply(answered, read.reply);
      this.#sendOurs();
      if (!this.#framing.isBlocked && this.#expected.hasRoom) this.#readHeld();
    }
    at = chunk.length;
    pass();
  }

  #readReply(answered: Answered, reply: WholeReply): void {
    this.#transactions.readReply(answered, reply);
    const opaqueReason = this.#framing.readReply(answered, reply);
    if (opaqueReason !== undefined) this.#becomeOpaque(opaqueReason);
    switch (answered.kind) {
      case "hello":
        if (this.#hidden.size > 0) this.#facts.offersChunking = ehloKeywords(reply).has("CHUNKING");
        return;
      case "auth":
      case "auth-response":
        if (isAuthenticated(reply)) this.#facts.isAuthenticated = true;
        return;
      case "xclient":
        // Postfix XCLIENT: 220 is a new greeting, and the session starts again.
        if (reply.code === 220) this.#facts.isAuthenticated = false;
        return;
      default:
        return;
    }
  }

  #sendOurs(): void {
    for (let next = this.#expected.removeOurs(); next !== undefined; next = this.#expected.removeOurs()) {
      this.#transactions.readReply(next.answered, next.ours);
      this.#sink.sendToClient(next.ours.octets);
    }
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
