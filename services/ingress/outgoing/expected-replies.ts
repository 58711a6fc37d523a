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
}

/** So many commands may be without their reply before the client is no longer read: our own replies take memory. */
const maxOutstanding = 1000;

export class ExpectedReplies {
  /** The first reply of a connection is its greeting. */
  readonly #queue: Expected[] = [{ answered: { kind: "connect" } }];
  /** How many are ours, or the server's to EHLO. */
  #special = 0;

  get isEmpty(): boolean {
    return this.#queue.length === 0;
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

  /** What the next reply answers; `undefined`: nothing is without a reply. */
  get next(): Answered | undefined {
    return this.#queue[0]?.answered;
  }

  expectServers(answered: Answered): void {
    this.#queue.push({ answered });
    if (answered.kind === "hello") this.#special++;
  }

  expectOurs(answered: Answered, ours: WholeReply): void {
    this.#queue.push({ answered, ours });
    this.#special++;
  }

  /** The server has replied. @returns what to; `undefined`: to nothing */
  removeServers(): Answered | undefined {
    if (this.#queue[0]?.ours !== undefined) return undefined;
    const answered = this.#queue.shift()?.answered;
    if (answered?.kind === "hello") this.#special--;
    return answered;
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
