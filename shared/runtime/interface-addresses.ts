/** The addresses of this machine's interfaces at this moment. */
import os from "node:os";
import { canonicalAddress } from "../net/network.ts";

/** @returns canonical texts */
export function interfaceAddresses(): string[] {
  return Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => canonicalAddress(address))
    .filter((address) => address !== undefined);
}
