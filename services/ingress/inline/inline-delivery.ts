/**
 * The recipients of a client's transaction that go to a remote server while the client waits: one next hop, that of the
 * first recipient that may go inline. Owns the remote transaction until finish() or abandon().
 */
import type { Recipient } from "../../../shared/mail/envelope.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";
import type { Route } from "../../../shared/routing/route.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import type { InlineStep } from "../../../shared/smtp-client/transaction/inline-steps.ts";
import type {
  InlineEnd,
  InlineTransaction,
  RecipientAnswer,
} from "../../../shared/smtp-client/transaction/inline-transaction.ts";

export class InlineDelivery {
  readonly route: Route;
  /** Recipients that the remote server accepted, by index into the client's envelope. */
  readonly recipients: number[] = [];
  /** What it replied to each of them. */
  readonly accepted = new Map<number, InlineStep>();
  /** Recipients that it could not take now, and why. */
  readonly deferred = new Map<number, Diagnosis>();
  readonly #transaction: InlineTransaction;
  readonly #key: string;

  constructor(route: Route, transaction: InlineTransaction) {
    this.route = route;
    this.#transaction = transaction;
    this.#key = identifyNextHop(route.nextHop).groupKey;
  }

  get isHidden(): boolean {
    const { nextHop } = this.route;
    return nextHop.kind === "servers" && nextHop.hide;
  }

  /** The remote transaction has ended: the queue gets the recipients. */
  get isOver(): boolean {
    return this.#transaction.isOver;
  }

  leadsTo(route: Route): boolean {
    return identifyNextHop(route.nextHop).groupKey === this.#key;
  }

  /** Passes a recipient on. Answers within the time of one step; never rejects. */
  askRecipient(recipient: Recipient): Promise<RecipientAnswer> {
    return this.#transaction.recipient(recipient);
  }

  /** Keeps the answer about a recipient that the client may have. @param index  into the client's envelope */
  note(index: number, answer: Exclude<RecipientAnswer, { kind: "rejected" }>): void {
    if (answer.kind === "deferred") this.deferred.set(index, answer.diagnosis);
    else {
      this.recipients.push(index);
      if (answer.step !== undefined) this.accepted.set(index, answer.step);
    }
  }

  /** @param received  the Received field that goes before the message, unless the delivery is hidden */
  startData(received: string): void {
    this.#transaction.startData(Buffer.from(this.isHidden ? "" : received, "utf8"));
  }

  /** @returns what to wait for before the next octets; it never rejects */
  write(bytes: Buffer): Promise<void> | undefined {
    return this.#transaction.write(bytes);
  }

  finish(): Promise<InlineEnd> {
    return this.#transaction.finish();
  }

  abandon(): void {
    this.#transaction.abandon();
  }
}
