/** Addresses of this machine itself, where nobody listens on the way. Pure. */

/** @param address  canonical text */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^127\.\d+\.\d+\.\d+$/.test(address);
}
