/** The addresses on this machine's interfaces, as of now. */
import os from "node:os";
import { canonicalAddress } from "../net/network.ts";

/** Canonical texts. */
export function interfaceAddresses(): string[] {
  return Object.values(os.networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => canonicalAddress(address))
    .filter((address) => address !== undefined);
}
