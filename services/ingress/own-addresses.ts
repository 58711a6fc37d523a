/** The gateway's own addresses: those on its interfaces. They decide which connections are local. */
import os from "node:os";
import { canonicalAddress } from "../../shared/config/network.ts";

/** Addresses come and go with links and leases; asking the kernel for every connection would cost more than that. */
const maxAgeMs = 10_000;

export interface OwnAddresses {
  /** Canonical texts, at most ten seconds old. */
  current(): ReadonlySet<string>;
}

/** @param now  monotonic milliseconds */
export function createOwnAddresses(
  list: () => Iterable<string> = interfaceAddresses,
  now: () => number = () => performance.now(),
): OwnAddresses {
  let addresses: ReadonlySet<string> = new Set();
  let readAtMs = Number.NEGATIVE_INFINITY;
  return {
    current() {
      if (now() - readAtMs >= maxAgeMs) {
        readAtMs = now();
        addresses = new Set(list());
      }
      return addresses;
    },
  };
}

function interfaceAddresses(): string[] {
  return Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => canonicalAddress(address))
    .filter((address) => address !== undefined);
}
