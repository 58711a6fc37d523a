/** What one attempt asks of every session: EHLO name, source address, TLS and password. Pure. */
import { mustHaveTls } from "../mail/envelope.ts";
import type { MessageMeta } from "../mail/message.ts";
import type { NextHop, TlsLevel } from "../routing/next-hop.ts";
import type { AttemptRequest } from "./smtp-client.ts";
import { levelForRequireTls, type TlsRequirements } from "./tls/policy.ts";

export interface SessionTerms {
  /** The EHLO argument. */
  helo: string;
  /** The client's address to connect from (`hide`), where the network routes its replies back. */
  transparentSource: string | undefined;
  tls: TlsRequirements;
  auth: { user: string; password: string } | undefined;
}

export interface SessionTermsDeps {
  /** The gateway's own name. */
  hostname: string;
  tlsLevelOf: (nextHop: NextHop) => TlsLevel;
  /** For hidden deliveries: the client's address to connect from; `undefined`: the gateway's own. */
  transparentSourceOf: (message: MessageMeta) => string | undefined;
}

export function sessionTerms(
  { nextHop, message }: Pick<AttemptRequest, "nextHop" | "message">,
  { hostname, tlsLevelOf, transparentSourceOf }: SessionTermsDeps,
): SessionTerms {
  const level = tlsLevelOf(nextHop);
  const requireTls = mustHaveTls(message.envelope);
  const hides = isHidden(nextHop);
  return {
    helo: (hides ? heloOf(message) : undefined) ?? hostname,
    transparentSource: hides ? transparentSourceOf(message) : undefined,
    tls: {
      level: requireTls ? levelForRequireTls(level) : level,
      requireTls,
      ignoresPublished: message.tlsOptional === true,
    },
    auth: nextHop.kind === "relay" ? nextHop.relay.auth : undefined,
  };
}

/** Whether the server is to see the client: its HELO name and address, and no Received field of ours. */
export function isHidden(nextHop: NextHop): boolean {
  return nextHop.kind === "servers" && nextHop.hide;
}

/** The client's HELO name, unless it would break our EHLO. */
function heloOf(message: MessageMeta): string | undefined {
  const helo = message.origin?.helo;
  return helo !== undefined && /^[!-~]{1,255}$/.test(helo) ? helo : undefined;
}
