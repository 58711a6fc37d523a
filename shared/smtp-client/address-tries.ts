/** The addresses that one attempt tries: how each try ended, for the log, and whether the destination is alive. Pure. */
import { replyLine } from "../smtp/diagnose.ts";
import type { Diagnosis, Outcome } from "../smtp/diagnosis.ts";
import type { Opened, Session, SessionRequest } from "./session/session.ts";
import type { AddressTry } from "./smtp-client.ts";

export class AddressTries {
  readonly entries: AddressTry[] = [];
  /** The session that was used last, and its entry. */
  #used: { session: Session; entry: AddressTry } | undefined;
  #isAnswered = false;
  #noAnswer: Diagnosis | undefined;

  /** Whether any server answered. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** How the last server that did not even greet failed. */
  get noAnswer(): Diagnosis | undefined {
    return this.#noAnswer;
  }

  addOpening({ remote, policy }: SessionRequest, opened: Opened, durationMs: number): void {
    const entry = { ...remote, reused: false, policy: policy.level, result: "", durationMs: 0 };
    if (opened.kind === "session") {
      this.#isAnswered = true;
      this.entries.push(entry);
      return;
    }
    const { diagnosis } = opened.outcome;
    if (opened.server === "unanswered") this.#noAnswer = diagnosis;
    else if (opened.server === "answered") this.#isAnswered = true;
    this.entries.push({ ...entry, result: diagnosis.reason, durationMs });
  }

  /** Says why the opening that was added last was in clear text. */
  noteTlsFailure(reason: string): void {
    const entry = this.entries.at(-1);
    if (entry !== undefined) entry.tlsFailure = reason;
  }

  /** Says why the opening that was added last is from another source address than was meant. */
  noteSourceFailure(reason: string): void {
    const entry = this.entries.at(-1);
    if (entry !== undefined) entry.sourceFailure = reason;
  }

  /**
   * A session took a transaction; it may take more.
   * @param last  the last outcome in this session
   */
  addUse(
    session: Session,
    isReused: boolean,
    last: Outcome | undefined,
    times: { startedMs: number; nowMs: number },
  ) {
    this.#isAnswered = true;
    const { tls, stsFailure } = session;
    Object.assign(this.#entryOf(session, isReused), {
      result: resultOf(last),
      durationMs: times.nowMs - (isReused ? times.startedMs : session.openedAtMs),
      ...(tls === undefined ? {} : { tls }),
      ...(stsFailure === undefined ? {} : { stsFailure }),
    });
  }

  /** A session that was opened for this attempt has an entry already. */
  #entryOf(session: Session, isReused: boolean): AddressTry {
    if (this.#used?.session === session) return this.#used.entry;
    let entry = isReused ? undefined : this.entries.at(-1);
    if (entry === undefined) {
      const { remote, policy } = session;
      entry = { ...remote, reused: isReused, policy, result: "", durationMs: 0 };
      this.entries.push(entry);
    }
    this.#used = { session, entry };
    return entry;
  }
}

function resultOf(outcome: Outcome | undefined): string {
  if (outcome === undefined) return "";
  return outcome.kind === "delivered" ? replyLine(outcome.reply) : outcome.diagnosis.reason;
}
