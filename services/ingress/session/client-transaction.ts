/** A mail transaction from MAIL to the final dot: the envelope, and where each recipient goes. */
import type { Envelope, Recipient } from "../../../shared/mail/envelope.ts";
import type { Route } from "../../../shared/routing/route.ts";
import type { InlineDelivery } from "../inline/inline-delivery.ts";
import type { MailCommand } from "../message/envelope-command.ts";
import { type EnvelopeShare, octetsOf } from "./envelope-memory.ts";

export class ClientTransaction {
  readonly envelope: Envelope;
  /** In the order of the envelope's recipients. */
  readonly routes: Route[] = [];
  refusedRecipients = 0;
  /** RCPT commands that name a recipient again, or one more than the limit. */
  excessRecipients = 0;
  /** SIZE as the client declared it. */
  readonly declaredOctets: number | undefined;
  /** Present where some recipients go to a remote server while the client waits. */
  inlineDelivery: InlineDelivery | undefined;
  readonly #known = new Set<string>();
  readonly #memory: EnvelopeShare;

  constructor({ kind: _, reversePath, declaredOctets, ...parameters }: MailCommand, memory: EnvelopeShare) {
    this.declaredOctets = declaredOctets;
    this.envelope = { reversePath, recipients: [], ...parameters };
    this.#memory = memory;
  }

  get recipientCount(): number {
    return this.envelope.recipients.length;
  }

  /** Whether the same recipient, with the same parameters, is in the envelope already. */
  has(recipient: Recipient): boolean {
    return this.#known.has(identity(recipient));
  }

  /** Takes the memory of one more recipient. @returns false when there is none */
  reserve(recipient: Recipient): boolean {
    return this.#memory.take(octetsOf(recipient));
  }

  /** Frees the memory: the message was accepted or refused, or the client has given it up. */
  close(): void {
    this.#memory.release();
  }

  add(recipient: Recipient, route: Route): void {
    this.#known.add(identity(recipient));
    this.envelope.recipients.push(recipient);
    this.routes.push(route);
  }
}

function identity({ address, notify, orcpt }: Recipient): string {
  if (notify === undefined && orcpt === undefined) return address;
  // No address has a newline in it.
  return `${address}\n${notify?.join() ?? "-"}\n${orcpt ?? ""}`;
}
