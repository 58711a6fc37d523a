/** Where a message goes next, and every name and key that a next hop is known by. Pure. */
import { formatHostPort, type HostPort } from "../net/endpoint.ts";
import { unreachable } from "../unreachable.ts";

/** A named entry of `relay.hosts`, complete. */
export interface RelayHost extends HostPort {
  name: string;
  tls: HostTlsLevel;
  auth?: { user: string; password: string };
}

/**
 * `none`: never. `may`: if offered, no certificate check. `require`: or defer. `verify`: with a valid certificate.
 * `dane`, `mta-sts`: by the TLSA records (RFC 7672), the policy (RFC 8461) of the destination, or defer.
 */
export type TlsLevel = "none" | "may" | "require" | "verify" | "dane" | "mta-sts";

/** Levels for configured hosts: MTA-STS is for the MX hosts of a domain only. */
export type HostTlsLevel = Exclude<TlsLevel, "mta-sts">;

export type NextHop =
  /** Protected servers in order of preference, or the one server that the client connected to. */
  | {
      kind: "servers";
      servers: HostPort[];
      hide: boolean;
      /** `protected[].tls`. Absent: `may`. */
      tls?: HostTlsLevel;
    }
  /** A relay host by name. */
  | { kind: "relay"; relay: RelayHost }
  /** `via: host:port`. */
  | { kind: "host"; host: HostPort }
  /** RFC 5321 §5.1 for this domain (or address literal), in lower-case A-label form. */
  | { kind: "mx"; domain: string };

/** The names and keys of one next hop. Nothing else derives a name or a key from a next hop. */
export interface NextHopIdentity {
  /** One line for people, without secrets: `mx example.org`, `isp (smtp.isp.example:587)`. No code reads it back. */
  label: string;
  /** The name in limits, logs and metrics: the MX domain, or the host of the relay or of the first server. */
  limitName: string;
  /**
   * The names by which operators may hold its mail, in lower case: the MX domain, the relay host's name, and each
   * server as `host:port` and as `host`.
   */
  aliases: string[];
  /** Equal for one and the same next hop of the configuration: its recipients share a job. */
  groupKey: string;
  /** Equal where the same hosts have to answer. The dead-destination cache stores it in Redis. */
  hostsKey: string;
  /** Equal where one session may serve both: same hosts, same credentials. Never log it: it holds the password. */
  connectionKey: string;
}

/** Next hops of the configuration live as long as the routing table; those by MX are made for each recipient. */
const identities = new WeakMap<NextHop, NextHopIdentity>();

export function identifyNextHop(nextHop: NextHop): NextHopIdentity {
  if (nextHop.kind === "mx") return identifyMx(nextHop.domain);
  let identity = identities.get(nextHop);
  if (identity === undefined) {
    identity = identifyHosts(nextHop);
    identities.set(nextHop, identity);
  }
  return identity;
}

function identifyMx(domain: string): NextHopIdentity {
  const name = domain.toLowerCase();
  const label = `mx ${domain}`;
  const hostsKey = `mx ${name}`;
  return {
    label,
    limitName: name,
    aliases: [name],
    groupKey: label,
    hostsKey,
    connectionKey: hostsKey,
  };
}

function identifyHosts(nextHop: Exclude<NextHop, { kind: "mx" }>): NextHopIdentity {
  switch (nextHop.kind) {
    case "servers": {
      const { servers, hide, tls = "may" } = nextHop;
      const names = servers.map(formatHostPort);
      return {
        ...namesOfHosts(servers),
        label: names.join(", "),
        groupKey: `servers ${names.join(",")} ${hide} ${tls}`,
      };
    }
    case "relay": {
      const { relay } = nextHop;
      const names = namesOfHosts([relay]);
      return {
        ...names,
        label: `${relay.name} (${formatHostPort(relay)})`,
        aliases: [relay.name.toLowerCase(), ...names.aliases],
        groupKey: `relay ${relay.name}`,
        connectionKey: `${names.hostsKey} ${relay.auth === undefined ? "" : JSON.stringify(relay.auth)}`,
      };
    }
    case "host": {
      const label = formatHostPort(nextHop.host);
      return { ...namesOfHosts([nextHop.host]), label, groupKey: `host ${label}` };
    }
    default:
      return unreachable(nextHop);
  }
}

function namesOfHosts(hosts: readonly HostPort[]) {
  const inLowerCase = hosts.map(({ host, port }) => ({ host: host.toLowerCase(), port }));
  const hostsKey = inLowerCase.map(({ host, port }) => `${host}:${port}`).join();
  return {
    limitName: inLowerCase[0]?.host ?? "",
    aliases: inLowerCase.flatMap((host) => [formatHostPort(host), host.host]),
    hostsKey,
    connectionKey: hostsKey,
  };
}
