/** What an operator means who names a destination: the next hop, and the name under which its limits are counted. Pure. */
import type { Config } from "../../../shared/config/schema.ts";
import { parseHostPort } from "../../../shared/net/endpoint.ts";
import type { Routing } from "../../../shared/routing/classify.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";

export interface NamedDestination {
  /** The next hop in words: `mx example.org`, `isp (smtp.isp.example:587)`; `null`: a host, which may be that of several. */
  nextHop: string | null;
  limitName: string;
  /** What has to answer, as the dead-destination cache names it. */
  hosts: string[];
  /** Whatever is counted under `limitName` is meant, on all ports. */
  isWholeHost: boolean;
}

/**
 * @param name  in lower case: a domain of recipients, the name of a relay host, or a host, with a port or without
 */
export function findDestination(
  name: string,
  config: Pick<Config, "relay" | "protected">,
  routing: Pick<Routing, "routeRecipient">,
): NamedDestination {
  const [, relay] = Object.entries(config.relay.hosts).find(([key]) => key.toLowerCase() === name) ?? [];
  if (relay !== undefined) {
    const host = relay.host.toLowerCase();
    return {
      nextHop: `${name} (${host}:${relay.port})`,
      limitName: host,
      hosts: [`${host}:${relay.port}`],
      isWholeHost: false,
    };
  }
  const isHere = configuredHosts(config);
  const named = parseHostPort(name);
  const host = named?.host ?? name;
  const isWholeHost = named === undefined;
  if (isHere.has(host))
    return { nextHop: null, limitName: host, hosts: isWholeHost ? [`${host}:25`] : [name], isWholeHost };
  const { label, limitName, hostsKey } = identifyNextHop(
    routing.routeRecipient(null, "", `postmaster@${name}`).nextHop,
  );
  return { nextHop: label, limitName, hosts: [hostsKey], isWholeHost: limitName === name };
}

/** The hosts of relay hosts, protected servers and routes. */
function configuredHosts({ relay, protected: entries }: Pick<Config, "relay" | "protected">): Set<string> {
  const vias = [...relay.routes, ...(relay.backup === undefined ? [] : [relay.backup])];
  return new Set([
    ...Object.values(relay.hosts).map(({ host }) => host.toLowerCase()),
    ...entries.flatMap(({ servers }) => servers.map(({ host }) => host.toLowerCase())),
    ...vias.flatMap(({ via }) => parseHostPort(via)?.host ?? []),
  ]);
}
