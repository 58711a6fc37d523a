/** What became of the mail transactions (RFC 5321 §3.3) that pass through, read from commands and their replies. Pure. */
import type { Command } from "../../../shared/smtp/command-line.ts";
import { replyText, type WholeReply } from "../../../shared/smtp/reply-reader.ts";

/**
 * `accepted`: a 2xx to the whole message. `refused`: MAIL, every RCPT, DATA or the message got a 4xx or 5xx.
 * `abandoned`: the client gave it up before it sent the message. `lost`: the connection ended before the reply.
 */
export type TransactionResult = "accepted" | "refused" | "abandoned" | "lost";

export interface ObservedTransaction {
  /** As the client gave it; `""` is the null reverse-path. */
  reversePath: string;
  /** All that the server accepted, and the first `maxListed` of their addresses. */
  accepted: { count: number; addresses: string[] };
  /** All that were refused, and the first `maxListed` of them with the reply. */
  refused: { count: number; recipients: { address: string; reply: string }[] };
  /** Of the message as it passed: dots still stuffed, without the final one. */
  octets: number;
  result: TransactionResult;
  /** The reply that decided; absent when none came. */
  reply?: string;
}

/** The most addresses that a log line carries. */
export const maxListed = 50;
/** RFC 5321 §4.5.3.1.3 gives a path 256 octets. */
const maxPathLength = 320;

/** What a reply answers: a command, the connection itself, an AUTH response line, or the message after DATA. */
export type Answered = Command | { kind: "connect" | "auth-response" } | { kind: "message"; octets: number };

interface Open {
  transaction: ObservedTransaction;
  /** The reply that refused DATA or a chunk. */
  refusal?: string;
  /** The last reply that refused a recipient; it decides when none is accepted. */
  recipientRefusal?: string;
}

export class TransactionObserver {
  #open: Open | undefined;
  readonly #ended: (transaction: ObservedTransaction) => void;

  constructor(ended: (transaction: ObservedTransaction) => void) {
    this.#ended = ended;
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** Replies come in the order of their commands (RFC 2920 §3.1). */
  readReply(answered: Answered, reply: WholeReply): void {
    const accepted = isPositive(reply);
    switch (answered.kind) {
      case "mail":
        this.#mail(answered.reversePath, reply, accepted);
        break;
      case "rcpt":
        this.#rcpt(answered.forwardPath, reply, accepted);
        break;
      case "data":
        if (this.#open !== undefined && !isGoAhead(reply)) this.#open.refusal = replyText(reply);
        break;
      case "bdat":
      case "burl":
        this.#chunk(answered.kind === "bdat" ? answered.octets : 0, answered.last, reply, accepted);
        break;
      case "message":
        this.#message(answered.octets, reply, accepted);
        break;
      case "hello":
      case "rset":
      case "starttls":
        // RFC 5321 §4.1.4, RFC 3207 §4.2: these end an open transaction.
        if (accepted) this.#giveUp();
        break;
      case "quit":
        this.#giveUp();
        break;
      default:
        break;
    }
  }

  /** @param octets  of a message that has not ended */
  connectionEnded(octets: number): void {
    if (this.#open === undefined) return;
    this.#open.transaction.octets += octets;
    this.#giveUp("lost");
  }

  #mail(reversePath: string, reply: WholeReply, isPositive: boolean): void {
    // A MAIL that is refused inside a transaction (503) leaves this as it is.
    if (this.#open !== undefined && !isPositive) return;
    this.#giveUp();
    const transaction: ObservedTransaction = {
      reversePath: reversePath.slice(0, maxPathLength),
      accepted: { count: 0, addresses: [] },
      refused: { count: 0, recipients: [] },
      octets: 0,
      result: "abandoned",
    };
    this.#open = { transaction };
    if (!isPositive) this.#end("refused", replyText(reply));
  }

  #rcpt(forwardPath: string, reply: WholeReply, isPositive: boolean): void {
    if (this.#open === undefined) return;
    const { accepted, refused } = this.#open.transaction;
    const address = forwardPath.slice(0, maxPathLength);
    if (isPositive) {
      if (accepted.count++ < maxListed) accepted.addresses.push(address);
      return;
    }
    const text = replyText(reply);
    if (refused.count++ < maxListed) refused.recipients.push({ address, reply: text });
    this.#open.recipientRefusal = text;
  }

  #chunk(octets: number, last: boolean, reply: WholeReply, isPositive: boolean): void {
    if (this.#open === undefined) return;
    // RFC 3030 §2: after a chunk that was refused the transaction is over; what follows only gets 503.
    if (!isPositive) {
      this.#open.refusal ??= replyText(reply);
      if (last) this.#end("refused", this.#open.refusal);
      return;
    }
    this.#open.transaction.octets += octets;
    if (last) this.#end("accepted", replyText(reply));
  }

  #message(octets: number, reply: WholeReply, isPositive: boolean): void {
    if (this.#open === undefined) return;
    this.#open.transaction.octets += octets;
    this.#end(isPositive ? "accepted" : "refused", replyText(reply));
  }

  #giveUp(result: "abandoned" | "lost" = "abandoned"): void {
    if (this.#open === undefined) return;
    const { transaction, refusal, recipientRefusal } = this.#open;
    const decisive = refusal ?? (transaction.accepted.count === 0 ? recipientRefusal : undefined);
    if (decisive === undefined) this.#end(result);
    else this.#end("refused", decisive);
  }

  #end(result: TransactionResult, reply?: string): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    open.transaction.result = result;
    if (reply !== undefined) open.transaction.reply = reply;
    this.#ended(open.transaction);
  }
}

/** RFC 5321 §4.2.1: 3yz asks for the rest of the same command. DATA is answered 354. */
export function isGoAhead(reply: WholeReply): boolean {
  return reply.code >= 300 && reply.code < 400;
}

/** RFC 5321 §4.2.1: 2yz says that it was done. */
export function isPositive(reply: WholeReply): boolean {
  return reply.code >= 200 && reply.code < 300;
}
