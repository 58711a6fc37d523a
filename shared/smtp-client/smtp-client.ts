/** What the delivery worker asks of the SMTP client side, and what it hears back. */

import type { PriorityClass } from "../limits/priority-class.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { NextHop, TlsLevel } from "../routing/next-hop.ts";
import type { Outcome } from "../smtp/diagnosis.ts";
import type { Body } from "../spool/spool.ts";
import type { Session, TlsResult } from "./session/session.ts";
import type { TransactionReport } from "./transaction/mail-transaction.ts";

export interface AttemptRequest {
  /** Says too whether to hide (no Received field, the client's HELO name) and which TLS to use. */
  nextHop: NextHop;
  message: MessageMeta;
  /** Indexes into `message.envelope.recipients`: those to try now. */
  recipients: number[];
  body: Body;
  /** Aborting it closes the connection; recipients without an answer are then deferred. */
  signal: AbortSignal;
  /** Which part of the process it takes up; absent: it is not counted against its destination's share. */
  priorityClass?: PriorityClass;
  /** When a session must be open, epoch milliseconds: the hosts share the time until then. Absent: each has its time-outs. */
  openByMs?: number;
  /** No attempt follows this one: it is made even where nobody answered lately. */
  isLast?: boolean;
  /** Called when the attempt is really made, no limit and no memory being in its way. */
  begun?(): void;
  /**
   * Conducts the mail transaction in place of the usual one, which has a whole message to send: inline delivery. Its
   * report has one outcome, that of recipient 0, which stands for the whole transaction.
   */
  drive?: (session: Session) => Promise<TransactionReport>;
}

export type AttemptResult =
  /** One outcome for each recipient that was asked for. */
  | { kind: "tried"; outcomes: Map<number, Outcome>; facts: AttemptFacts }
  /** The destination is at its limits: nothing was tried, nothing is to be counted. Come back at `retryAtMs`. */
  | { kind: "full"; destination: string; reason: string; retryAtMs: number };

/** What the log and the metrics want to know of one attempt. */
export interface AttemptFacts {
  /** The name that `limits.destinations` matches: the recipient's domain, the relay host, the server. */
  destination: string;
  /** Every address that was tried, in order. */
  tries: AddressTry[];
  /** From the request to the last answer. */
  durationMs: number;
  /** No host answered lately, and this attempt relied on that: the diagnosis is of the one that found out. */
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
  /** Why TLS was not used although the policy tried it (level `may`). */
  tlsFailure?: string;
  /** What an MTA-STS policy in mode testing would have refused it for (RFC 8461 §5). */
  stsFailure?: string;
  /** How it ended: one line. */
  result: string;
  durationMs: number;
}

export interface SmtpClient {
  /**
   * Never rejects for what a remote server, the network or the DNS does.
   * @throws SpoolCorrupt when the body turned out to be damaged before anybody got it
   */
  attempt(request: AttemptRequest): Promise<AttemptResult>;
  /** Idle connections end with QUIT at once, busy ones when their transaction is over, at the latest after `graceMs`. */
  close(graceMs: number): Promise<void>;
}
