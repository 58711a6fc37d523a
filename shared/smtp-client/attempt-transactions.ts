/** The mail transactions of one attempt: what its recipients get over each session. */
import { deferred, type Remote, remoteName } from "../smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../smtp/diagnosis.ts";
import type { AddressTries } from "./address-tries.ts";
import type { AttemptEnd } from "./attempt-end.ts";
import type { HostSlot, HostSlots } from "./connections/host-slots.ts";
import type { RecipientOutcomes } from "./recipient-outcomes.ts";
import type { Session, Timeouts } from "./session/session.ts";
import type { StepLog } from "./session/step-log.ts";
import { isHidden } from "./session-terms.ts";
import type { AttemptFacts, AttemptRequest } from "./smtp-client.ts";
import type { TransactionReport } from "./transaction/mail-transaction.ts";
import { recipientGroups } from "./transaction/recipient-groups.ts";
import { sendStored } from "./transaction/send-stored.ts";
import { outgoingMessage } from "./transaction/stored-message.ts";

/**
 * How a session went: "untouched" when it had been closed while it was idle, "refused" when the host has too many
 * connections, else whether it may be used again.
 */
export type SessionUse = "untouched" | "refused" | "ended" | "reusable";

/**
 * Sessions of one attempt that get as far as MAIL. RFC 5321 §5.1 wants two addresses tried; a content filter that says
 * "later" to the whole message must not get it from each of ten hosts.
 */
const maxMailSessions = 2;

export interface AttemptTransactionsDeps {
  timeouts: Timeouts;
  hostSlots: Pick<HostSlots, "isFull">;
  now: () => number;
}

/** What the attempt knows so far; its transactions add to it. */
export interface AttemptState {
  outcomes: RecipientOutcomes;
  tries: AddressTries;
  steps: StepLog;
  end: AttemptEnd;
  facts: () => AttemptFacts;
}

export class AttemptTransactions {
  readonly #request: AttemptRequest;
  readonly #deps: AttemptTransactionsDeps;
  readonly #state: AttemptState;
  #mailSessions = 0;
  #isConcluded = false;

  constructor(request: AttemptRequest, state: AttemptState, deps: AttemptTransactionsDeps) {
    this.#request = request;
    this.#state = state;
    this.#deps = deps;
  }

  /** A host was asked about recipients. */
  get haveBegun(): boolean {
    return this.#mailSessions > 0;
  }

  /** No other host is to be asked. */
  get areOver(): boolean {
    const { outcomes, end } = this.#state;
    const hasAsked = this.#mailSessions >= maxMailSessions;
    return outcomes.isComplete || end.hasCome || this.#isConcluded || hasAsked;
  }

  /**
   * Sends to all pending recipients, in as many transactions as the server needs.
   * @param hostSlot  of a session that was opened for this attempt
   */
  async sendOver(session: Session, isReused: boolean, hostSlot?: HostSlot): Promise<SessionUse> {
    const { hostSlots, now } = this.#deps;
    const { outcomes, tries, end } = this.#state;
    const { envelope } = this.#request.message;
    const startedMs = now();
    const transactionsBefore = session.transactions;
    let isReusable = true;
    let last: Outcome | undefined;
    for (const group of recipientGroups(envelope, outcomes.pending, session.extensions)) {
      if (end.hasCome) break;
      if (!isReusable) this.#deferGroup(group, session.remote);
      let recipients = group;
      while (recipients.length > 0 && isReusable && !end.hasCome) {
        const report = await this.#timeTransaction(session, recipients, isReused);
        if (isReused && report.isUntouched && session.connection.disconnectReason?.kind !== "aborted") {
          return "untouched";
        }
        const refusal = hostSlot && session.transactions === 1 ? wholeRefusal(report) : undefined;
        if (hostSlot && refusal && (await hostSlots.isFull(hostSlot, refusal))) return "refused";
        for (const [index, outcome] of report.outcomes) {
          last = outcome;
          outcomes.add(index, outcome);
        }
        tries.addUse(session, isReused, last, { startedMs, nowMs: now() });
        this.#reportDelivered(report.outcomes);
        isReusable = report.isReusable;
        recipients = report.tooMany;
        this.#isConcluded = report.isConcluded === true;
      }
    }
    if (session.transactions > transactionsBefore) this.#mailSessions++;
    return isReusable && !end.hasCome ? "reusable" : "ended";
  }

  async #timeTransaction(
    session: Session,
    recipients: number[],
    reused: boolean,
  ): Promise<TransactionReport> {
    const { now } = this.#deps;
    const { policy, tls, remote } = session;
    const startedMs = now();
    const report = await this.#transact(session, recipients);
    let isDelivered = false;
    for (const { kind } of report.outcomes.values()) if (kind === "delivered") isDelivered = true;
    this.#state.steps.add({
      name: "transaction",
      startedMs,
      durationMs: now() - startedMs,
      host: remote.host,
      session: { policy, tls: tls?.protocol ?? "none", verified: tls?.verified === true, reused },
      ...(isDelivered ? {} : { failed: true as const }),
    });
    return report;
  }

  #transact(session: Session, recipients: number[]): Promise<TransactionReport> {
    const { message, body, nextHop, drive } = this.#request;
    if (drive !== undefined) return drive(session);
    const outgoing = outgoingMessage(message, recipients, body, isHidden(nextHop));
    return sendStored(session, outgoing, recipients, this.#deps.timeouts, this.#deps.now);
  }

  /** When nobody is left to ask, the result follows at once and is report enough. */
  #reportDelivered(outcomes: ReadonlyMap<number, Outcome>): void {
    if (this.#request.delivered === undefined || this.#state.outcomes.isComplete) return;
    const delivered = new Map([...outcomes].filter(([, outcome]) => outcome.kind === "delivered"));
    if (delivered.size > 0) this.#request.delivered(delivered, this.#state.facts());
  }

  /** The session ended before the transaction of these recipients. */
  #deferGroup(group: number[], remote: Remote): void {
    const reason = `the session with ${remoteName(remote)} ended before their transaction`;
    const outcome = deferred("network", "4.4.2", reason, this.#deps.now(), remote);
    for (const index of group) this.#state.outcomes.add(index, outcome);
  }
}

/** The failure of the first recipient, where all that a session said was a refusal of MAIL. */
function wholeRefusal({ outcomes }: TransactionReport): Diagnosis | undefined {
  const [first] = outcomes.values();
  return first?.kind === "deferred" && first.diagnosis.reply?.command === "MAIL"
    ? first.diagnosis
    : undefined;
}
