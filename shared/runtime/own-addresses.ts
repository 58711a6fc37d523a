/**
 * The gateway's own addresses: those on its interfaces, and those that `own_addresses` names. They decide which
 * connections are local, and where no mail may be sent to by MX.
 */
import os from "node:os";
import { canonicalAddress } from "../net/network.ts";

/** Addresses come and go with links and leases; to ask the kernel for every connection would be too expensive. */
const maxAgeMs = 10_000;

export interface OwnAddresses {
  /** Canonical texts; those of the interfaces at most ten seconds old. */
  current(): ReadonlySet<string>;
}

/**
 * @param configured  `own_addresses`: of a balancer in front of the gateway, say
 * @param now         monotonic milliseconds
 */
export function createOwnAddresses(
  configured: readonly string[] = [],
  list: () => Iterable<string> = interfaceAddresses,
  now: () => number = () => performance.now(),
): OwnAddresses {
  let addresses: ReadonlySet<string> = new Set();
  let readAtMs = Number.NEGATIVE_INFINITY;
  const always = canonical(configured);
  return {
    current() {
      if (now() - readAtMs >= maxAgeMs) {
        readAtMs = now();
        addresses = new Set([...always, ...list()]);
      }
      return addresses;
    },
  };
}

function interfaceAddresses(): string[] {
  const interfaces = Object.values(os.networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return canonical(interfaces.map(({ address }) => address));
}

function canonical(addresses: readonly string[]): string[] {
  return addresses.map(canonicalAddress).filter((address) => address !== undefined);
}
