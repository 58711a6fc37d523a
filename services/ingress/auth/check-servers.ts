/** Checks credentials by logging in, with them, to the server of the user's protected domain. */
import type { Config } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { canonicalDomain } from "../../../shared/mail/domain.ts";
import { canonicalAddress } from "../../../shared/net/network.ts";
import type { NextHop } from "../../../shared/routing/next-hop.ts";
import { compileProtectedDomains } from "../../../shared/routing/protected.ts";
import type { LoginClient } from "../../../shared/smtp-client/log-in.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import type { CredentialCheck } from "./authenticator.ts";

/** Each is a connection to a server. */
export const serverChecks = { atOnce: 16, waiting: 64 };

/** Well below the five minutes that clients wait for a reply. */
const withinMs = 20_000;

export function checkServers(config: Config, client: LoginClient): CredentialCheck {
  const serversFor = loginServers(config);
  return async ({ user, password, connection, signal }) => {
    const nextHop = serversFor(user, connection);
    if (nextHop === undefined) return { kind: "wrong", isKnownUser: false };
    const outcome = await client.logIn({ nextHop, user, password, withinMs, signal });
    switch (outcome.kind) {
      case "accepted":
        return { kind: "right" };
      case "refused":
        // Nobody's password ends in one of our domains.
        return { kind: "wrong", isKnownUser: user.includes("@") };
      case "unavailable":
        return outcome;
      default:
        return unreachable(outcome);
    }
  };
}

/**
 * The servers that know a user: those of the domain in the name; for a name without one, the protected server that the
 * client connected to. Pure.
 */
export function loginServers(
  config: Config,
): (user: string, connection: Pick<ClientConnection, "destination">) => NextHop | undefined {
  const domains = compileProtectedDomains(config);
  return (user, { destination }) => {
    const at = user.lastIndexOf("@");
    if (at >= 0) return domains.find(canonicalDomain(user.slice(at + 1)))?.nextHop;
    const { address, port } = destination;
    const entry = config.protected.find(({ servers }) =>
      servers.some((server) => canonicalAddress(server.host) === address && server.port === port),
    );
    return entry && { kind: "servers", servers: [{ host: address, port }], hide: false, tls: entry.tls };
  };
}
