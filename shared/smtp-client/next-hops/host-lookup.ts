/** Looks up the hosts of a next hop, and finds out whether one of them is this gateway. */
import type { HostPort } from "../../net/endpoint.ts";
import { canonicalAddress } from "../../net/network.ts";
import type { Resolver } from "../dns/resolver.ts";
import type { HostsFile } from "../dns/system.ts";
import type { HostAnswers } from "../tls/dane/find-tlsa.ts";
import { decideAddresses, type HostAddresses } from "./hosts.ts";
import type { OwnEndpoints } from "./own-endpoints.ts";

export interface HostLookupDeps {
  resolver: Resolver;
  hostsFile: HostsFile;
  ownEndpoints: OwnEndpoints;
  /** 0..1 */
  random: () => number;
  /** Epoch milliseconds. */
  now: () => number;
}

/** Where the names of the hosts are from; `implicit`: the domain itself, which has no MX records. */
export type HostOrigin = "mx" | "implicit" | "configured";

export interface RankedHost extends HostPort {
  /** Lower is better. MX hosts of equal preference are looked up together, to know whether one is this gateway. */
  preference: number;
}

export interface HostLookup extends RankedHost {
  /** `own`: the host is this gateway, and none of the following is preferred to it. */
  found: HostAddresses | { kind: "own"; address: string };
  answers?: HostAnswers;
}

/**
 * Looks the hosts up in order, those of equal preference at once. RFC 5321 §5.1: where one of these is the gateway itself,
 * neither they nor the hosts after them are for this mail.
 */
export async function* lookUpHosts(
  hosts: RankedHost[],
  origin: HostOrigin,
  deps: HostLookupDeps,
): AsyncGenerator<HostLookup> {
  for (const level of Map.groupBy(hosts, ({ preference }) => preference).values()) {
    const lookups = await Promise.all(
      level.map(
        async (host): Promise<HostLookup> => ({ ...host, ...(await addresses(host.host, origin, deps)) }),
      ),
    );
    const own = origin === "configured" ? undefined : lookups.flatMap((lookup) => ownOf(lookup, deps)).at(0);
    if (own !== undefined) return yield own;
    yield* lookups;
  }
}

/** The lookup of a host that is this gateway: by one of its addresses. */
function ownOf(lookup: HostLookup, { ownEndpoints }: HostLookupDeps): HostLookup[] {
  if (lookup.found.kind !== "addresses") return [];
  const { port } = lookup;
  const address = lookup.found.addresses.find((each) =>
    ownEndpoints.isOwnMailServer({ address: each, port }),
  );
  return address === undefined ? [] : [{ ...lookup, found: { kind: "own", address } }];
}

/** Only configured hosts may be an address or be listed in the hosts file: an MX record names a host in the DNS. */
async function addresses(
  host: string,
  origin: HostOrigin,
  { resolver, hostsFile, random, now }: HostLookupDeps,
): Promise<{ found: HostAddresses; answers?: HostAnswers }> {
  if (origin === "configured") {
    const address = canonicalAddress(host);
    if (address !== undefined) return { found: { kind: "addresses", addresses: [address] } };
    const listed = hostsFile.addresses(host, now());
    if (listed.length > 0) return { found: { kind: "addresses", addresses: listed } };
  }
  const [a, aaaa] = await Promise.all([resolver.a(host), resolver.aaaa(host)]);
  return { found: decideAddresses(a, aaaa, random), answers: { a, aaaa } };
}
