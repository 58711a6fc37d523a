/** The replies that are owed to the client, in the order of its commands (RFC 2920 §3.1): the server's, and ours between them. Pure. */
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import type { Answered } from "./observed-transactions.ts";

interface Expected {
  answered: Answered;
  /** The reply is ours; the server has not seen the command. */
  ours?: WholeReply;
}

/** So many commands may be without their reply before the client is no longer read: replies of ours take memory. */
const maxOutstanding = 1000;

export class ExpectedReplies {
  /** A connection owes its greeting before all. */
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

  /** Whatever the server says now reaches the client as it is: none of ours comes in between, and no EHLO reply is read. */
  get arePlain(): boolean {
    return this.#special === 0;
  }

  /** What the server's next reply answers; `undefined`: it was not asked anything. */
  get next(): Answered | undefined {
    return this.#queue[0]?.answered;
  }

  fromServer(answered: Answered): void {
    this.#queue.push({ answered });
    if (answered.kind === "hello") this.#special++;
  }

  fromUs(answered: Answered, ours: WholeReply): void {
    this.#queue.push({ answered, ours });
    this.#special++;
  }

  /** Takes the head, the server having replied to it; `undefined`: it replied to nothing. */
  take(): Answered | undefined {
    if (this.#queue[0]?.ours !== undefined) return undefined;
    const answered = this.#queue.shift()?.answered;
    if (answered?.kind === "hello") this.#special--;
    return answered;
  }

  /** Ours has to follow the server's next reply at once. */
  get isOursDue(): boolean {
    return this.#queue[0]?.ours !== undefined || this.#queue[1]?.ours !== undefined;
  }

  /** Takes the head when it is ours. */
  takeOurs(): { answered: Answered; ours: WholeReply } | undefined {
    const head = this.#queue[0];
    if (head?.ours === undefined) return undefined;
    this.#queue.shift();
    this.#special--;
    return { answered: head.answered, ours: head.ours };
  }

  /** Octets of the chunks that the server owes a reply for. */
  get chunkOctets(): number {
    let octets = 0;
    for (const { answered, ours } of this.#queue) {
      if (answered.kind === "bdat" && ours === undefined) octets += answered.octets;
    }
    return octets;
  }
}
