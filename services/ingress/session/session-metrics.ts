/** The metrics of queued sessions. */
import type { LabelledCounter, Metrics, Tally } from "../../../shared/runtime/metrics.ts";

export class SessionMetrics {
  /** Sessions that are open. */
  active = 0;
  readonly #opened: Tally | undefined;
  readonly #accepted: Tally | undefined;
  readonly #octets: Tally | undefined;
  readonly #recipients: Tally | undefined;
  readonly #refused: LabelledCounter | undefined;
  readonly #logins: LabelledCounter | undefined;

  /** @param metrics  of the process; absent: nothing is counted */
  constructor(metrics?: Metrics) {
    this.#opened = metrics?.counter("sessions_total", "Queued sessions opened.").with();
    this.#accepted = metrics
      ?.counter(
        "messages_accepted_total",
        "Messages accepted: into the spool, or by the remote server inline.",
      )
      .with();
    this.#octets = metrics?.counter("accepted_octets_total", "Octets of accepted messages.").with();
    this.#recipients = metrics
      ?.counter("accepted_recipients_total", "Recipients of accepted messages.")
      .with();
    this.#refused = metrics?.counter(
      "refusals_total",
      "Senders, recipients and messages refused, by reply code and enhanced status.",
      ["reply"],
    );
    this.#logins = metrics?.counter("logins_total", "Logins with AUTH, by result.", ["result"]);
    metrics?.gauge("sessions_active", "Queued sessions that are open.", () => this.active);
  }

  opened(): void {
    this.active += 1;
    this.#opened?.add();
  }

  closed(): void {
    this.active -= 1;
  }

  accepted(octets: number, recipients: number): void {
    this.#accepted?.add();
    this.#octets?.add(octets);
    this.#recipients?.add(recipients);
  }

  /** @param result  "accepted", or why not */
  login(result: string): void {
    this.#logins?.with(result).add();
  }

  /** @param reply  code and enhanced status: `550 5.7.1` */
  refused(reply: string): void {
    this.#refused?.with(reply).add();
  }
}
