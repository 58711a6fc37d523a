/** Why a connection ended, and the outcome of recipients that it leaves without an answer. Pure. */
import { deferred, type Failure, type Remote, remoteName } from "../../smtp/diagnose.ts";

export interface DisconnectReason {
  kind: "closed" | "timeout" | "malformed" | "tls" | "aborted";
  /** For people: "it closed the connection", "no reply to MAIL within 300 s". */
  reason: string;
}

export const closedByPeer: DisconnectReason = { kind: "closed", reason: "it closed the connection" };

const errorTexts: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "it reset the connection",
  EPIPE: closedByPeer.reason,
  ETIMEDOUT: "the connection timed out",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  EADDRNOTAVAIL: "the source address is not available",
};

/** A socket's error in words. */
export function errorText(error: Error): string {
  return errorTexts[(error as NodeJS.ErrnoException).code ?? ""] ?? error.message;
}

export function seconds(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${Math.round(ms / 1000)} s`;
}

/** The outcome of recipients that are unanswered when the connection ends. @param when  "while sending RCPT TO" */
export function outcomeOfDisconnect(
  disconnectReason: DisconnectReason,
  remote: Remote,
  when: string,
  atMs: number,
): Extract<Failure, { kind: "deferred" }> {
  const reason = `lost the session with ${remoteName(remote)} ${when}: ${disconnectReason.reason}`;
  switch (disconnectReason.kind) {
    case "aborted":
      return deferred(
        "local",
        "4.3.2",
        `stopped the session with ${remoteName(remote)} ${when}`,
        atMs,
        remote,
      );
    case "malformed":
      return deferred("network", "4.5.0", reason, atMs, remote);
    case "tls":
      return deferred("network", "4.7.5", reason, atMs, remote);
    case "closed":
    case "timeout":
      return deferred("network", "4.4.2", reason, atMs, remote);
  }
}

/** The outcome of recipients that are unanswered when an attempt is stopped. */
export function stopped(atMs: number): Failure {
  return deferred("local", "4.3.2", "the attempt was stopped", atMs);
}
