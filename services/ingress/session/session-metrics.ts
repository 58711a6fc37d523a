/** The metrics of queued sessions. */
import {
  type LabelledCounter,
  type LabelledHistogram,
  type Metrics,
  secondsBuckets,
  type Tally,
} from "../../../shared/runtime/metrics.ts";

/** Sessions end at the latest with `timeouts.session`, an hour by default; some operators allow more. */
const sessionBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200];

export class SessionMetrics {
  /** Sessions that are open. */
  active = 0;
  readonly #opened: Tally | undefined;
  readonly #accepted: Tally | undefined;
  readonly #octets: (Tally | undefined)[];
  readonly #recipients: Tally | undefined;
  readonly #refused: LabelledCounter | undefined;
  readonly #logins: LabelledCounter | undefined;
  readonly #tls: LabelledCounter | undefined;
  readonly #durations: ReturnType<LabelledHistogram["with"]> | undefined;
  readonly #received: ReturnType<LabelledHistogram["with"]> | undefined;
  readonly #concluded: LabelledHistogram | undefined;

  /** @param metrics  of the process; absent: nothing is counted */
  constructor(metrics?: Metrics) {
    this.#opened = metrics
      ?.counter(
        "sessions_total",
        "Queued sessions opened. Falls to nothing during the day: clients do not reach the gateway.",
      )
      .with();
    this.#accepted = metrics
      ?.counter(
        "messages_accepted_total",
        "Messages accepted: into the spool, or by the remote server inline. Stops during the day: look at postern_refusals_total.",
      )
      .with();
    this.#octets = [
      metrics?.counter("accepted_bytes_total", "Octets of accepted messages.").with(),
      metrics
        ?.counter(
          "accepted_octets_total",
          "Old name of postern_accepted_bytes_total; it goes with the next release.",
        )
        .with(),
    ];
    this.#recipients = metrics
      ?.counter("accepted_recipients_total", "Recipients of accepted messages.")
      .with();
    this.#refused = metrics?.counter(
      "refusals_total",
      "Senders, recipients and messages refused, by reply code and enhanced status. `451 4.3.0`: the storage fails; `452 4.3.1`: it is full; `550 5.7.1`: strangers try to relay, or a client is missing in relay.clients.",
      ["reply"],
    );
    this.#logins = metrics?.counter(
      "logins_total",
      "Logins with AUTH, by result. `credentials` jumps: passwords are guessed, see `auth.failed` in the log; `unavailable`: a protected server cannot be asked.",
      ["result"],
    );
    this.#tls = metrics?.counter(
      "session_tls_total",
      "Queued sessions that have ended, by the version of TLS that the client used; `none`: in clear text.",
      ["version"],
    );
    this.#durations = metrics
      ?.histogram("session_seconds", "How long queued sessions lasted.", sessionBuckets)
      .with();
    this.#received = metrics
      ?.histogram(
        "message_receive_seconds",
        "From DATA to the reply to the final dot, for accepted messages: the client's pace, and our storage.",
        secondsBuckets,
      )
      .with();
    this.#concluded = metrics?.histogram(
      "message_acceptance_seconds",
      "From the final dot to its reply, by result: how long clients wait for the storage, or inline for the remote server. Above 1 s for long: compare postern_spool_fsync_seconds; above 60 s clients begin to send again.",
      secondsBuckets,
      ["result"],
    );
    metrics?.gauge("sessions_active", "Queued sessions that are open.", () => this.active);
  }

  opened(): void {
    this.active += 1;
    this.#opened?.add();
  }

  closed(seconds: number, tls: string | undefined): void {
    this.active -= 1;
    this.#durations?.observe(seconds);
    this.#tls?.with(tls ?? "none").add();
  }

  /** The reply to the final dot. @param seconds  since the dot */
  concluded(result: "accepted" | "refused", seconds: number): void {
    this.#concluded?.with(result).observe(seconds);
  }

  /** @param seconds  since DATA */
  accepted(octets: number, recipients: number, seconds: number): void {
    this.#accepted?.add();
    this.#received?.observe(seconds);
    for (const tally of this.#octets) tally?.add(octets);
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
