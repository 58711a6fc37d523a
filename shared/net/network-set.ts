/** Many networks, looked up by the bits of an address: as many steps as there are prefix lengths, however many networks. Pure. */
import type { Network } from "./network.ts";
import { addressBits } from "./network.ts";

export class NetworkSet {
  /** By the prefix length: the first bits of each network, IPv4 and IPv6 apart. */
  readonly #byPrefix = new Map<number, Set<string>>();

  constructor(networks: readonly Network[]) {
    for (const network of networks) {
      const { bits, prefix } = network.range();
      const key = bits.slice(0, prefix + 1);
      const known = this.#byPrefix.get(prefix);
      if (known === undefined) this.#byPrefix.set(prefix, new Set([key]));
      else known.add(key);
    }
  }

  /** @param address  in any spelling; other text is in no network */
  contains(address: string): boolean {
    const bits = addressBits(address);
    if (bits === undefined) return false;
    for (const [prefix, networks] of this.#byPrefix) if (networks.has(bits.slice(0, prefix + 1))) return true;
    return false;
  }
}
