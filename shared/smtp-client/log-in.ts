/** Logs in to a server to learn whether a name and a password belong together. No mail is sent. */
import type { NextHop, TlsLevel } from "../routing/next-hop.ts";
import { remoteName } from "../smtp/diagnose.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";
import type { SmtpReply } from "../smtp/status.ts";
import { AddressTries } from "./address-tries.ts";
import { type AddressDeps, deliveryAddresses } from "./next-hops/delivery-addresses.ts";
import { SessionOpener, type SessionOpenerDeps } from "./session-opener.ts";

export interface LoginRequest {
  nextHop: NextHop;
  user: string;
  password: string;
  /** For all hosts together, milliseconds. */
  withinMs: number;
  /** Aborting it closes the connection. */
  signal: AbortSignal;
}

export type LoginOutcome =
  | { kind: "accepted" }
  | { kind: "refused" }
  /** No host could say. @property reason  one line; never what a server said, which might repeat a password */
  | { kind: "unavailable"; reason: string };

export interface LoginClient {
  /** Never rejects. */
  logIn(request: LoginRequest): Promise<LoginOutcome>;
}

export type LoginDeps = AddressDeps & SessionOpenerDeps & { tlsLevelOf: (nextHop: NextHop) => TlsLevel };

/** The first host that accepts or refuses the login decides; one that cannot is passed over. */
export async function logIn(
  { nextHop, user, password, withinMs, signal }: LoginRequest,
  deps: LoginDeps,
): Promise<LoginOutcome> {
  const tls = { level: deps.tlsLevelOf(nextHop), requireTls: false, ignoresPublished: false };
  const terms = { helo: deps.hostname, transparentSource: undefined, tls, auth: { user, password } };
  const openByMs = deps.now() + withinMs;
  const opener = new SessionOpener({ nextHop, terms, openByMs, tries: new AddressTries() }, deps);
  const stop = () => opener.stop();
  signal.addEventListener("abort", stop);
  let last: Diagnosis | undefined;
  try {
    for await (const candidate of deliveryAddresses(nextHop, tls, deps)) {
      if (signal.aborted || deps.now() >= openByMs) break;
      if (candidate.kind !== "address") {
        last = candidate.failure.diagnosis;
        continue;
      }
      const opened = await opener.open(candidate);
      if (opened.kind === "session") {
        deps.quit(opened.session.connection);
        return { kind: "accepted" };
      }
      last = opened.outcome.diagnosis;
      if (last.reply !== undefined && refusesCredentials(last.reply)) return { kind: "refused" };
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
  return { kind: "unavailable", reason: reasonOf(last) };
}

/** Replies to AUTH that speak of the mechanism or of TLS, and not of the password (RFC 4954 §4, §6). */
const otherRefusals = new Set([500, 502, 503, 504, 530, 534, 538]);

/** Pure. */
export function refusesCredentials({ command, code }: Pick<SmtpReply, "command" | "code">): boolean {
  return command === "AUTH" && code >= 500 && !otherRefusals.has(code);
}

function reasonOf(diagnosis: Diagnosis | undefined): string {
  if (diagnosis === undefined) return "no host answered in time";
  const { reply, remote, reason } = diagnosis;
  if (reply === undefined) return reason;
  const status = reply.enhanced === undefined ? "" : ` ${reply.enhanced}`;
  const name = remote === undefined ? "the server" : remoteName(remote);
  return `${name} said ${reply.code}${status} in reply to ${reply.command}`;
}
