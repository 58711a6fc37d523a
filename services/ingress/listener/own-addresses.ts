/** The gateway's own addresses, those of its interfaces: connections to them are local. */
import { interfaceAddresses } from "../../../shared/runtime/interface-addresses.ts";

/** Addresses come and go with links and leases; to ask the kernel for every connection would be too expensive. */
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
