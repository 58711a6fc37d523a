/** Domains of addresses in one spelling. Pure. */
import { domainToASCII } from "node:url";
import { literalAddress } from "../net/network.ts";

/**
 * One spelling for each domain: lower case, A-labels (RFC 5890), no final dot; an address literal (RFC 5321 §4.1.3)
 * as `[192.0.2.1]` or `[ipv6:2001:db8::1]`.
 */
export function canonicalDomain(domain: string): string {
  const lower = domain.toLowerCase();
  if (lower.charCodeAt(0) === 91) return canonicalLiteral(lower);
  const bare = lower.endsWith(".") ? lower.slice(0, -1) : lower;
  // Only for names beyond ASCII, since domainToASCII reads numbers as IPv4 addresses, as browsers do.
  return /[\u0080-\uffff]/.test(bare) ? domainToASCII(bare) || bare : bare;
}

function canonicalLiteral(literal: string): string {
  const address = literalAddress(literal);
  if (address === undefined) return literal;
  return address.includes(":") ? `[ipv6:${address}]` : `[${address}]`;
}
