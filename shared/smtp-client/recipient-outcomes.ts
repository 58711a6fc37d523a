/** The outcomes of one attempt: what host after host says about its recipients, and what counts in the end. Pure. */
import type { Failure } from "../smtp/diagnose.ts";
import type { Outcome } from "../smtp/diagnosis.ts";

export class RecipientOutcomes {
  readonly #pending: Set<number>;
  readonly #final = new Map<number, Outcome>();
  /** Of each recipient that is still pending: the failure that counts so far. */
  readonly #failures = new Map<number, Failure>();

  constructor(recipients: readonly number[]) {
    this.#pending = new Set(recipients);
  }

  /** The recipients that the next host is asked about. */
  get pending(): number[] {
    return [...this.#pending];
  }

  get isComplete(): boolean {
    return this.#pending.size === 0;
  }

  /** Whether any recipient has a final outcome. */
  get hasFinal(): boolean {
    return this.#final.size > 0;
  }

  add(recipient: number, outcome: Outcome): void {
    if (isFinal(outcome)) {
      this.#final.set(recipient, outcome);
      this.#pending.delete(recipient);
    } else if (outcome.kind !== "delivered") {
      this.#fail(recipient, outcome);
    }
  }

  /** For all pending recipients. */
  fail(failure: Failure): void {
    for (const recipient of this.#pending) this.#fail(recipient, failure);
  }

  /** One outcome for each recipient. @param otherwise  for recipients that no host was asked about */
  conclude(otherwise: () => Failure): Map<number, Outcome> {
    for (const recipient of this.#pending) {
      this.#final.set(recipient, this.#failures.get(recipient) ?? otherwise());
    }
    return this.#final;
  }

  #fail(recipient: number, failure: Failure): void {
    const known = this.#failures.get(recipient);
    if (known === undefined || !outranks(known, failure)) this.#failures.set(recipient, failure);
  }
}

/**
 * Whether the earlier failure counts. "Not now" of one host weighs more than "not here" of another: the next attempt may
 * reach the first. Of two alike, what a server said weighs more than that another could not be asked, and this more than
 * a fault of this machine; else the later one counts.
 */
function outranks(earlier: Failure, later: Failure): boolean {
  if (earlier.kind !== later.kind) return earlier.kind === "deferred";
  return weightOf(earlier) > weightOf(later);
}

function weightOf({ diagnosis }: Failure): number {
  if (diagnosis.reply !== undefined) return 2;
  return diagnosis.class === "local" ? 0 : 1;
}

/**
 * Whether no other host of the attempt can change this outcome.
 *
 * RFC 5321 §5.1 wants at least two addresses tried. A host that cannot be reached, refuses the session, or answers 4xx
 * to MAIL, RCPT, DATA or the message leaves its recipients to the next one; 2xx and 5xx to these are answers. After the
 * final dot without a reply no other host is tried: it could only make a second copy.
 */
export function isFinal(outcome: Outcome): boolean {
  switch (outcome.kind) {
    case "delivered":
      return true;
    case "rejected":
      // Without a reply to a mail command only that host refuses the message (missing extensions, RFC 7504 521).
      return outcome.diagnosis.reply !== undefined && outcome.diagnosis.reply.command !== "CONNECT";
    case "deferred":
      return outcome.diagnosis.possiblyDelivered === true || outcome.diagnosis.class === "local";
  }
}
