/** Compiled tables of the protected domains and their servers. Pure. */

import type { Config } from "../config/schema.ts";
import type { Endpoint } from "../net/endpoint.ts";
import { canonicalAddress } from "../net/network.ts";
import type { NextHop } from "./next-hop.ts";
import { DomainTable } from "./patterns.ts";
import type { Route } from "./route.ts";

export interface ProtectedServer {
  /** The domain-server route of its entry, where that is set. */
  route: Route | undefined;
  /** Some entry hides the gateway from this server. */
  hide: boolean;
}

/** By endpointKey(). */
export type ProtectedServers = ReadonlyMap<string, ProtectedServer>;

/**
 * The servers of protected domains by address and port. Servers named by host name are left out: a connection is made to an
 * address, and host names are resolved at delivery only.
 */
export function compileProtectedServers(config: Config): ProtectedServers {
  const table = new Map<string, ProtectedServer>();
  for (const [index, entry] of config.protected.entries()) {
    for (const server of entry.servers) {
      const address = canonicalAddress(server.host);
      if (address === undefined) continue;
      const key = endpointKey({ address, port: server.port });
      const route: Route = {
        row: "domain-server",
        nextHop: {
          kind: "servers",
          servers: [{ host: address, port: server.port }],
          hide: entry.hide,
          tls: entry.tls,
        },
        setting: `protected[${index}].use_server_for_outgoing`,
        inline: entry.inline,
      };
      // Of several entries with this server, the first with the setting decides.
      const before = table.get(key);
      table.set(key, {
        route: before?.route ?? (entry.use_server_for_outgoing ? route : undefined),
        hide: before?.hide === true || entry.hide,
      });
    }
  }
  return table;
}

/** The to-protected route of each domain pattern. */
export function compileProtectedDomains(config: Config): DomainTable<Route> {
  const table = new DomainTable<Route>();
  for (const [index, { domains, servers, hide, tls, inline }] of config.protected.entries()) {
    const nextHop: NextHop = { kind: "servers", servers, hide, tls };
    for (const [position, pattern] of domains.entries()) {
      const setting = `protected[${index}].domains[${position}]`;
      table.add(pattern, { row: "to-protected", nextHop, setting, inline });
    }
  }
  return table;
}

/** @param endpoint  with its address in canonical text */
export function endpointKey({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}
