/**
 * The replies that the client has still to get, in the order of its commands (RFC 2920 §3.1): the server's, and our own
 * between them. Pure.
 */
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import type { Answered } from "./observed-transactions.ts";

interface Expected {
  answered: Answered;
  /** The reply is ours; the server has not seen the command. */
  ours?: WholeReply;
  /** The server replies, and the client gets this in place of its reply. */
  instead?: WholeReply;
}

/** So many commands may be without their reply before the client is no longer read: our own replies take memory. */
const maxOutstanding = 1000;

export class ExpectedReplies {
  /** The first reply of a connection is its greeting. */
  readonly #queue: Expected[] = [{ answered: { kind: "connect" } }];
  /** How many do not pass as the server gives them: ours, those in place of the server's, and its own to EHLO. */
  #special = 0;

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** The greeting has not come, and the client has asked for nothing. */
  get isUntouched(): boolean {
    return this.isLast && this.#queue[0]?.answered.kind === "connect";
  }

  /** Exactly one thing is without a reply. */
  get isLast(): boolean {
    return this.#queue.length === 1;
  }

  get isFull(): boolean {
    return this.#queue.length >= maxOutstanding;
  }

  /** Few enough to read on: well below full, so that reading does not start and stop with every reply. */
  get hasRoom(): boolean {
    return this.#queue.length <= maxOutstanding / 2;
  }

  /** Whatever the server sends now reaches the client as it is: none of ours comes between, and no EHLO reply is read. */
  get arePlain(): boolean {
    return this.#special === 0;
  }

  /** What the server's next reply answers; `undefined`: nothing is without a reply of the server. */
  get next(): Answered | undefined {
    const head = this.#queue[0];
    return head?.ours === undefined ? head?.answered : undefined;
  }

  /** What the client gets in place of the server's next reply, if not that. */
  get instead(): WholeReply | undefined {
    return this.#queue[0]?.instead;
  }

  /** @param instead  what the client gets in place of the server's reply */
  expectServers(answered: Answered, instead?: WholeReply): void {
    this.#queue.push(instead === undefined ? { answered } : { answered, instead });
    if (answered.kind === "hello" || instead !== undefined) this.#special++;
  }

  expectOurs(answered: Answered, ours: WholeReply): void {
    this.#queue.push({ answered, ours });
    this.#special++;
  }

  /** The server has replied. @returns what to; `undefined`: to nothing */
  removeServers(): Answered | undefined {
    const head = this.#queue[0];
    if (head === undefined || head.ours !== undefined) return undefined;
    this.#queue.shift();
    if (head.answered.kind === "hello" || head.instead !== undefined) this.#special--;
    return head.answered;
  }

  /** Ours has to follow the server's next reply at once. */
  get isOursDue(): boolean {
    return this.#queue[0]?.ours !== undefined || this.#queue[1]?.ours !== undefined;
  }

  /** @returns the next reply, if that is ours */
  removeOurs(): { answered: Answered; ours: WholeReply } | undefined {
    const head = this.#queue[0];
    if (head?.ours === undefined) return undefined;
    this.#queue.shift();
    this.#special--;
    return { answered: head.answered, ours: head.ours };
  }

  /** Octets of the chunks that the server has not replied to. */
  get chunkOctets(): number {
    let octets = 0;
    for (const { answered, ours } of this.#queue) {
      if (answered.kind === "bdat" && ours === undefined) octets += answered.octets;
    }
    return octets;
  }
}
