/**
 * What the octets of a client are part of: command lines, or what follows some of them (message data, BDAT chunks, AUTH
 * responses, the rest of a long line). Enters each thing that needs a reply in the expected replies. Pure.
 */
import type { Command } from "../../../shared/smtp/command-line.ts";
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import { EndOfData, terminatorOctets } from "./end-of-data.ts";
import type { ExpectedReplies } from "./expected-replies.ts";
import { type Answered, isGoAhead, isPositive } from "./observed-transactions.ts";
import { UnclearEndOfData } from "./unclear-end-of-data.ts";

/** Why the rest of a dialogue passes unread. */
export type OpaqueReason =
  | "starttls"
  | "sasl-layer"
  | "turn"
  | "unknown-command"
  /** The client's first octets are no command. */
  | "not-smtp"
  /** The server accepted a message before its end: it reads the client's octets otherwise than we do. */
  | "early-reply";

/** What the next octet from the client is part of. */
export type ClientPhase =
  | "command"
  /** The rest of a command line too long to hold. */
  | "long-line"
  /** Only the reply decides what follows (DATA, AUTH, STARTTLS, unknown commands). */
  | "awaiting-reply"
  /** Whether the client may send another message is being asked; MAIL is read again then. */
  | "awaiting-admission"
  | "auth-response"
  | "message"
  | "chunk"
  | "opaque";

/**
 * SASL mechanisms that may negotiate a security layer: RFC 4752, RFC 2831, RFC 2222 §7.1; GSS-SPNEGO is Microsoft's.
 * All others end with the reply.
 */
const layerMechanisms = new Set(["GSSAPI", "GSS-SPNEGO", "DIGEST-MD5", "KERBEROS_V4"]);

export class ClientFraming {
  readonly #expected: ExpectedReplies;
  readonly #endOfData: EndOfData | UnclearEndOfData;
  #isEndUnclear = false;
  #phase: ClientPhase = "command";
  /** What follows the end of a long line. */
  #phaseAfterLine: ClientPhase = "command";
  #isForServer = true;
  /** Octets of the BDAT chunk that are still to come. */
  #chunkLeft = 0;
  /** The message from 354 to its reply. */
  #message: (Answered & { kind: "message" }) | undefined;
  /** The AUTH that is under way, or that succeeded last, may negotiate a security layer. */
  #mayNegotiateLayer = false;
  #maySeeSaslLayer = false;

  /** @param isStrict  a line of the message that only some servers take for its end is to be found too */
  constructor(expected: ExpectedReplies, isStrict = false) {
    this.#expected = expected;
    this.#endOfData = isStrict ? new UnclearEndOfData() : new EndOfData();
  }

  get phase(): ClientPhase {
    return this.#phase;
  }

  /** What the client sends now cannot be read yet. */
  get isBlocked(): boolean {
    return this.#phase === "awaiting-reply" || this.#phase === "awaiting-admission";
  }

  /** Whether the rest of a long line, or a chunk, goes to the server: not when its command was refused. */
  get isForServer(): boolean {
    return this.#isForServer;
  }

  /** Some servers see the end of the message with the next octet, others do not. */
  get isEndUnclear(): boolean {
    return this.#isEndUnclear;
  }

  /** Whether the server has only a part of what this is about: of a message, or of the last chunk. */
  isPartial(answered: Answered | undefined): boolean {
    if (answered?.kind === "message") return this.#phase === "message";
    return answered?.kind === "bdat" && this.#phase === "chunk" && this.#isForServer && this.#expected.isLast;
  }

  /** Octets that went to the server as part of a message without its reply. */
  get unansweredOctets(): number {
    const chunks = this.#expected.chunkOctets - (this.#isForServer ? this.#chunkLeft : 0);
    return (this.#message?.octets ?? 0) + Math.max(0, chunks);
  }

  /** To be asked of the first octet of each command. */
  startsSaslLayer(octet: number | undefined): boolean {
    if (!this.#maySeeSaslLayer) return false;
    this.#maySeeSaslLayer = false;
    // RFC 4422 §3.7: a security layer sends its buffers behind a length of four octets, big-endian.
    return octet === 0;
  }

  awaitAdmission(): void {
    this.#phase = "awaiting-admission";
  }

  admissionDecided(): void {
    this.#phase = "command";
  }

  becomeOpaque(): void {
    this.#phase = "opaque";
  }

  /**
   * @param refusal  the reply that we give; absent: the line goes to the server
   * @param ended    false: the rest of the line is still to come
   */
  readCommand(command: Command, ended: boolean, refusal: WholeReply | undefined): void {
    this.#isForServer = refusal === undefined;
    this.#phaseAfterLine = this.#phaseAfter(command);
    this.#phase = ended ? this.#phaseAfterLine : "long-line";
    if (refusal === undefined) this.#expected.expectServers(command);
    else this.#expected.expectOurs(command, refusal);
  }

  /** @param refusal  the reply that the client gets; the server gets a line that cancels AUTH */
  readAuthResponse(ended: boolean, refusal: WholeReply | undefined): void {
    this.#isForServer = refusal === undefined;
    this.#phaseAfterLine = "awaiting-reply";
    this.#phase = ended ? "awaiting-reply" : "long-line";
    this.#expected.expectServers({ kind: "auth-response" }, refusal);
  }

  /** Reads what is no command line. @returns where that stops in this chunk */
  readContent(chunk: Buffer, at: number): number {
    const phase = this.#phase;
    switch (phase) {
      case "message": {
        const end = this.#endOfData.find(chunk, at);
        this.#isEndUnclear = end.kind === "unclear";
        const next = end.kind === "end" ? end.at : chunk.length;
        if (this.#message !== undefined)
          this.#message.octets += next - at - (end.kind === "end" ? terminatorOctets : 0);
        if (end.kind === "end") this.#phase = "command";
        return next;
      }
      case "chunk": {
        const next = Math.min(chunk.length, at + this.#chunkLeft);
        this.#chunkLeft -= next - at;
        if (this.#chunkLeft === 0) this.#phase = "command";
        return next;
      }
      case "long-line": {
        const lineFeed = chunk.indexOf(0x0a, at);
        if (lineFeed >= 0) this.#phase = this.#phaseAfterLine;
        return lineFeed < 0 ? chunk.length : lineFeed + 1;
      }
      case "auth-response": {
        const lineFeed = chunk.indexOf(0x0a, at);
        if (lineFeed < 0) return chunk.length;
        this.readAuthResponse(true, undefined);
        return lineFeed + 1;
      }
      case "opaque":
        return chunk.length;
      case "command":
      case "awaiting-reply":
      case "awaiting-admission":
        return at;
      default:
        return unreachable(phase);
    }
  }

  /** @returns why nothing can be read any more after this reply, if so */
  readReply(answered: Answered, reply: WholeReply): OpaqueReason | undefined {
    switch (answered.kind) {
      case "data":
        if (isGoAhead(reply)) this.#startMessage();
        else this.#goOn("command");
        return undefined;
      case "message":
        this.#message = undefined;
        return this.#phase === "message" && isPositive(reply) ? "early-reply" : undefined;
      case "auth":
      case "auth-response":
        this.#goOn(isGoAhead(reply) ? "auth-response" : "command");
        if (isAuthenticated(reply)) this.#maySeeSaslLayer = this.#mayNegotiateLayer;
        return undefined;
      case "starttls":
        this.#goOn("command");
        return reply.code === 220 ? "starttls" : undefined;
      case "turn":
        this.#goOn("command");
        return isPositive(reply) ? "turn" : undefined;
      case "unknown":
        this.#goOn("command");
        return isGoAhead(reply) ? "unknown-command" : undefined;
      default:
        return undefined;
    }
  }

  /** The reply has come, perhaps before the end of the long line that it answers. */
  #goOn(phase: ClientPhase): void {
    if (this.#phase === "long-line") this.#phaseAfterLine = phase;
    else this.#phase = phase;
  }

  #phaseAfter(command: Command): ClientPhase {
    switch (command.kind) {
      case "bdat":
        // RFC 3030 §2: the chunk follows its command, whatever becomes of both.
        this.#chunkLeft = command.octets;
        return command.octets > 0 ? "chunk" : "command";
      case "auth":
        this.#mayNegotiateLayer = layerMechanisms.has(command.mechanism);
        return this.#isForServer ? "awaiting-reply" : "command";
      case "data":
      case "starttls":
      case "turn":
      case "unknown":
        return this.#isForServer ? "awaiting-reply" : "command";
      default:
        return "command";
    }
  }

  #startMessage(): void {
    this.#goOn("message");
    this.#endOfData.restart();
    this.#message = { kind: "message", octets: 0 };
    this.#expected.expectServers(this.#message);
  }
}

/** RFC 4954 §4: 235 and nothing else says that AUTH succeeded. */
export function isAuthenticated(reply: WholeReply): boolean {
  return reply.code === 235;
}
