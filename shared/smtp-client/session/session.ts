/** A session with an SMTP server: what is asked for, what an open one is like, and how opening one can fail. */
import type tls from "node:tls";
import type { TlsLevel } from "../../routing/next-hop.ts";
import { deferRefusal, type Failure, type Remote } from "../../smtp/diagnose.ts";
import type { Extensions } from "../../smtp/extensions.ts";
import type { SmtpReply } from "../../smtp/status.ts";
import type { TlsPolicy } from "../tls/policy.ts";
import type { SmtpConnection } from "./connection.ts";
import { type DisconnectReason, outcomeOfDisconnect } from "./disconnect-reason.ts";
import type { StepLog } from "./step-log.ts";

/** RFC 5321 §4.5.3.2, in milliseconds. */
export interface Timeouts {
  connect: number;
  greeting: number;
  ehlo: number;
  mail: number;
  rcpt: number;
  data: number;
  body: number;
  dot: number;
  quit: number;
  /** For a whole attempt. */
  attempt: number;
}

export interface SessionRequest {
  remote: Remote;
  /** An address of this host to connect from. */
  localAddress: string | undefined;
  /** The client's address to connect from (`hide`). */
  transparentSource: string | undefined;
  /** Whether the host's name is authentic (RFC 8689 §2). */
  isNameSure: boolean;
  /** The EHLO argument. */
  helo: string;
  policy: TlsPolicy;
  auth: { user: string; password: string } | undefined;
  /** For the whole opening; `undefined`: each of its steps has its time-out. */
  withinMs: number | undefined;
  /** Gets the time of each step; absent: nobody wants to know. */
  steps?: Pick<StepLog, "add" | "enter">;
}

export interface SessionDeps {
  /** The gateway's own name. */
  hostname: string;
  timeouts: Timeouts;
  /** Bundled and system authorities, or the test's. */
  secureContext: () => tls.SecureContext;
  now: () => number;
  /** Ends a connection with QUIT in the background. */
  quit: (connection: SmtpConnection) => void;
  /** Hears of each step of the opening, for a probe. */
  observe?: (fact: SessionFact) => void;
}

export type SessionFact =
  | { kind: "connected"; localAddress: string | undefined }
  /** To `CONNECT` (the greeting), EHLO, HELO, STARTTLS or AUTH. */
  | { kind: "reply"; reply: SmtpReply }
  | { kind: "tls"; tls: TlsResult };

export interface Session {
  connection: SmtpConnection;
  remote: Remote;
  /** The extensions that may be used: REQUIRETLS only where the session has what it asks for. */
  extensions: Extensions;
  /** The TLS policy that was followed. */
  policy: TlsLevel;
  /** Absent: in clear text. */
  tls?: TlsResult;
  /** What an MTA-STS policy in mode testing would have refused the session for. */
  stsFailure?: string;
  /** The name in limits that its host's connections are counted under. */
  countedAs?: string;
  /** Transactions that were begun. */
  transactions: number;
  /** The whole message has been sent, and the reply has not come: cut here, it may have been delivered. */
  isAwaitingDot: boolean;
  openedAtMs: number;
}

export interface TlsResult {
  /** `TLSv1.3` */
  protocol: string;
  /** `TLS_AES_256_GCM_SHA384` */
  cipher: string;
  /** The policy that was followed. */
  level: TlsLevel;
  /** The name that the certificate was checked against. */
  peerName: string;
  /** Whether the certificate is valid for that name. */
  verified: boolean;
  /** Why it is not valid. */
  failure?: string;
  /** The kind of the TLSA record that it matched: `3 1 1`. */
  tlsa?: string;
}

export type Opened = { kind: "session"; session: Session } | OpeningFailure;

export interface OpeningFailure {
  kind: "failed";
  outcome: Failure;
  /** TLS is the cause: a connection in clear text may do where the policy allows it. */
  tlsFailed: boolean;
  /** Whether the server is alive. `unanswered`: not even a greeting came. `unknown`: the fault is ours. */
  server: "answered" | "unanswered" | "unknown";
}

export function failed(outcome: Failure, tlsFailed = false): OpeningFailure {
  return {
    kind: "failed",
    outcome,
    tlsFailed,
    server: outcome.diagnosis.class === "local" ? "unknown" : "answered",
  };
}

/** A refusal before MAIL says nothing about a recipient: the mail is deferred whatever the code. */
export function refused(reply: SmtpReply, remote: Remote, atMs: number, tlsFailed = false): OpeningFailure {
  return failed(deferRefusal(reply, remote, atMs), tlsFailed);
}

/** @param when  "while saying EHLO" */
export function lost(
  disconnectReason: DisconnectReason,
  remote: Remote,
  when: string,
  atMs: number,
  duringTls = false,
): OpeningFailure {
  const outcome = outcomeOfDisconnect(disconnectReason, remote, when, atMs);
  return failed(outcome, duringTls && disconnectReason.kind !== "aborted");
}
