/** What the delivery worker asks of the SMTP client side, and what it hears back. */
import type { MessageMeta } from "../mail/message.ts";
import type { NextHop, TlsLevel } from "../routing/next-hop.ts";
import type { Outcome } from "../smtp/diagnosis.ts";
import type { Body } from "../spool/spool.ts";

export interface AttemptRequest {
  /** Says too whether to hide (no Received field, the client's HELO name) and which TLS to use. */
  nextHop: NextHop;
  message: MessageMeta;
  /** Indexes into `message.envelope.recipients`: those to try now. */
  recipients: number[];
  body: Body;
  /** Aborting it closes the connection; recipients without an answer are then deferred. */
  signal: AbortSignal;
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
}

export interface AddressTry {
  host: string;
  address: string;
  port: number;
  /** Whether an open connection was used again. */
  reused: boolean;
  /** Absent: in clear text. */
  tls?: TlsFacts;
  /** Why TLS was not used although the policy tried it (level `may`). */
  tlsFailure?: string;
  /** How it ended: one line. */
  result: string;
  durationMs: number;
}

export interface TlsFacts {
  /** `TLSv1.3` */
  protocol: string;
  /** `TLS_AES_256_GCM_SHA384` */
  cipher: string;
  /** The policy that was followed. */
  level: TlsLevel;
  /** The name that the certificate was checked against, and whether it is valid for it. */
  peerName: string;
  verified: boolean;
}

export interface Transport {
  /**
   * Never rejects for what a remote server, the network or the DNS does.
   * @throws SpoolCorrupt when the body turned out to be damaged before anybody got it
   */
  attempt(request: AttemptRequest): Promise<AttemptResult>;
  /** Idle connections end with QUIT at once, busy ones when their transaction is over, at the latest after `graceMs`. */
  close(graceMs: number): Promise<void>;
}
