/** Why a connection ended, and the outcome of recipients that it leaves without an answer. Pure. */
import { deferred, type Failure, type Remote, remoteName } from "../../smtp/diagnose.ts";

export interface DisconnectReason {
  /**
   * `local`: this machine could not make the connection, whatever the server does. `unroutable`: this machine, or a router
   * on the way, knows no way to the address, which says nothing about the server either.
   */
  kind: "closed" | "timeout" | "malformed" | "tls" | "aborted" | "local" | "unroutable";
  /** For people: "it closed the connection", "no reply to MAIL within 300 s". */
  reason: string;
}

export const closedByPeer: DisconnectReason = { kind: "closed", reason: "it closed the connection" };

export const attemptStopped: DisconnectReason = { kind: "aborted", reason: "the attempt was stopped" };

/** Why an opening is ended: the reason of its AbortSignal. */
export function openingEnd(signal: AbortSignal): DisconnectReason {
  return signal.reason as DisconnectReason;
}

const errorTexts: Record<string, string> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "it reset the connection",
  EPIPE: closedByPeer.reason,
  ETIMEDOUT: "the connection timed out",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  EAFNOSUPPORT: "this machine does not speak its kind of address",
  EADDRNOTAVAIL: "the source address is not available, or has no port left",
  EADDRINUSE: "the source address has no port left",
  EMFILE: "this process has too many files open",
  ENFILE: "this machine has too many files open",
  ENOBUFS: "this machine has no buffers left",
  ENOMEM: "this machine has no memory left",
  EACCES: "this machine does not permit it",
  EPERM: "this machine does not permit it",
  EINVAL: "the source address does not lead there",
};

/** What connect(2) and bind(2) report of this machine, and never of the server. */
const localErrors = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
  "EADDRINUSE",
  "EACCES",
  "EPERM",
  "EINVAL",
]);
const routingErrors = new Set(["ENETUNREACH", "EAFNOSUPPORT"]);

/** Why no connection could be made. */
export function connectFault(error: Error): DisconnectReason {
  const { code = "" } = error as NodeJS.ErrnoException;
  const kind = localErrors.has(code) ? "local" : routingErrors.has(code) ? "unroutable" : "closed";
  return { kind, reason: errorText(error) };
}

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
    case "local":
      return deferred("local", "4.3.0", reason, atMs, remote);
    case "closed":
    case "timeout":
    case "unroutable":
      return deferred("network", "4.4.2", reason, atMs, remote);
  }
}

/** The outcome of recipients that are unanswered when an attempt is stopped. */
export function stopped(atMs: number): Failure {
  return deferred("local", "4.3.2", "the attempt was stopped", atMs);
}
