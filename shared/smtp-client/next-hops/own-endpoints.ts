/** Which addresses and ports are this gateway itself: mail that is sent there comes back. Pure. */
import type { Config } from "../../config/schema.ts";
import type { Endpoint } from "../../net/endpoint.ts";
import { canonicalAddress, isLoopback, isUnspecified } from "../../net/network.ts";

/** Addresses in any spelling. */
export interface OwnEndpoints {
  /** A listener of this gateway takes connections there. Not even the configuration may send mail there. */
  isOwnListener(endpoint: Endpoint): boolean;
  /** No MX record and no address literal may lead there: to a listener of this gateway, or to this machine at all. */
  isOwnMailServer(endpoint: Endpoint): boolean;
}

/** @param own  the gateway's own addresses at this moment, canonical texts */
export function createOwnEndpoints(
  config: {
    listeners: readonly Pick<Config["listeners"][number], "address" | "port">[];
    delivery: Pick<Config["delivery"], "loopback">;
  },
  own: () => ReadonlySet<string>,
): OwnEndpoints {
  const listeners = config.listeners.map(({ address, port }) => ({ at: canonical(address), port }));
  const isThisMachine = (address: string) =>
    isLoopback(address) || isUnspecified(address) || own().has(address);

  function isOwnListener(endpoint: Endpoint): boolean {
    const address = canonical(endpoint.address);
    return listeners.some(({ at, port }) => {
      if (port !== endpoint.port) return false;
      // A listener on :: takes IPv4 connections too.
      if (at === "::" || (at === "0.0.0.0" && !address.includes(":"))) return isThisMachine(address);
      // The kernel connects to loopback when it is asked for 0.0.0.0 or ::.
      return at === address || (isUnspecified(address) && isLoopback(at));
    });
  }

  return {
    isOwnListener,
    isOwnMailServer: (endpoint) =>
      isOwnListener(endpoint) ||
      (config.delivery.loopback === "refuse" && isThisMachine(canonical(endpoint.address))),
  };
}

function canonical(address: string): string {
  return canonicalAddress(address) ?? address;
}
