/**
 * The SMTP client: makes one attempt at a message over the hosts of its next hop. Here is what an attempt takes and what
 * it reports; attempt.ts makes it, create-smtp-client.ts puts everything together.
 */
import type { PriorityClass } from "../limits/priority-class.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { NextHop, TlsLevel } from "../routing/next-hop.ts";
import type { Outcome } from "../smtp/diagnosis.ts";
import type { Body } from "../spool/spool.ts";
import type { Session, TlsResult } from "./session/session.ts";
import type { Step } from "./session/step-log.ts";
import type { TransactionReport } from "./transaction/mail-transaction.ts";

export interface AttemptRequest {
  /** Also says whether to hide the gateway (no Received field, the client's HELO name) and which TLS to use. */
  nextHop: NextHop;
  message: MessageMeta;
  /** The recipients of this attempt, indexes into `message.envelope.recipients`. */
  recipients: number[];
  body: Body;
  /**
   * Aborting it closes the connection; recipients without an answer are then deferred. With the reason "stopping"
   * (`Interruption`) a server that has the whole message still has its time for the reply.
   */
  signal: AbortSignal;
  /** Limits how much of the process one destination may use; absent: the attempt is not counted. */
  priorityClass?: PriorityClass;
  /** The address or network of the client that waits; absent: none does. It has a share of the destination's connections. */
  client?: string;
  /** When a session must be open, epoch milliseconds: the hosts share the time until then. Absent: each has its time-outs. */
  openByMs?: number;
  /** No attempt follows: this one ignores the dead-destination cache. */
  isLast?: boolean;
  /** Called when the attempt has a connection or may open one: neither a limit nor the dead-destination cache stops it. */
  begun?(): void;
  /**
   * Called after a transaction when the attempt goes on for other recipients: these have their mail, and the next host
   * may take minutes. The result names them again.
   * @param facts  the attempt so far
   */
  delivered?(outcomes: ReadonlyMap<number, Outcome>, facts: AttemptFacts): void;
  /**
   * Drives the mail transaction of an inline delivery, which has no whole message yet. Its report has one outcome, that
   * of recipient 0, which stands for the whole transaction.
   */
  drive?: (session: Session) => Promise<TransactionReport>;
}

export type AttemptResult =
  /** One outcome for each recipient that was asked for. */
  | { kind: "tried"; outcomes: Map<number, Outcome>; facts: AttemptFacts }
  /** The destination is at its limits: nothing was tried, and this counts as no attempt. Retry at `retryAtMs`. */
  | { kind: "full"; destination: string; reason: string; retryAtMs: number };

/** One attempt, for the log and the metrics. */
export interface AttemptFacts {
  /** The name that `limits.destinations` matches: the recipient's domain, the relay host, the server. */
  destination: string;
  /** Every address that was tried, in order. */
  tries: AddressTry[];
  /** How long each step took, in order; bounded. Absent where nothing was tried. */
  steps?: readonly Step[];
  /** From the request to the last answer. */
  durationMs: number;
  /** The destination is in the dead-destination cache: no host was tried, and the diagnosis is that of an earlier attempt. */
  remembered?: true;
}

export interface AddressTry {
  host: string;
  address: string;
  port: number;
  /** Whether an open connection was used again. */
  reused: boolean;
  /** The TLS policy that was followed. */
  policy: TlsLevel;
  /** Absent: in clear text. */
  tls?: TlsResult;
  /** Why the session is in clear text although STARTTLS was tried (level `may`). */
  tlsFailure?: string;
  /** Why another of `delivery.source_addresses` was tried first, in vain. */
  sourceFailure?: string;
  /** What an MTA-STS policy in mode testing would have refused it for (RFC 8461 §5). */
  stsFailure?: string;
  /** How it ended: one line. */
  result: string;
  durationMs: number;
}

export interface SmtpClient {
  /**
   * Never rejects for what a remote server, the network or the DNS does.
   * @throws SpoolCorrupt when the body turned out to be damaged before any recipient got it
   */
  attempt(request: AttemptRequest): Promise<AttemptResult>;
  /** Ends all attempts at once. */
  stop(): void;
  /** Idle connections end with QUIT at once, busy ones when their transaction is over, at the latest after `graceMs`. */
  close(graceMs: number): Promise<void>;
}
