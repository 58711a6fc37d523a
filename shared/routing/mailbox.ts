/** An envelope address as routing sees it: its domain in one spelling, and whether it has sender routing. Pure. */
import { domainOf, hasSenderRouting, localPartOf, unquotedLocalPart } from "../mail/address.ts";
import { canonicalDomain } from "../mail/domain.ts";

export interface Mailbox {
  /** Without a source route; a bare `postmaster` with the gateway's name. */
  address: string;
  /** See canonicalDomain; "" when there is none. */
  domain: string;
  /**
   * Source route, percent hack, bang path, or an @ in quotes: asks the receiver to relay the mail to somewhere else, which
   * a server that trusts the gateway might do.
   */
  hasSenderRouting: boolean;
  /** The `postmaster` of this gateway itself (RFC 5321 §4.5.1). */
  isOwnPostmaster: boolean;
}

/** RFC 5321 §4.1.1.3 `@a,@b:user@domain`; a colon in brackets belongs to an address literal. */
const sourceRoute = /^@(?:\[[^\]]*\]|[^:[\],@])+(?:,@(?:\[[^\]]*\]|[^:[\],@])+)*:/;

/**
 * Reads any text: a malformed address has the domain after its last @.
 * @param address   without angle brackets
 * @param hostname  the gateway's own name, in lower case
 */
export function readMailbox(address: string, hostname: string): Mailbox {
  if (address.charCodeAt(0) === 64) {
    const plain = address.replace(sourceRoute, "");
    if (plain !== address) return { ...readMailbox(plain, hostname), hasSenderRouting: true };
  }
  const at = address.lastIndexOf("@");
  const isPostmaster = unquotedLocalPart(localPartOf(address)).toLowerCase() === "postmaster";
  if (at < 0 && isPostmaster) {
    return {
      address: `${address}@${hostname}`,
      domain: hostname,
      hasSenderRouting: false,
      isOwnPostmaster: true,
    };
  }
  const domain = canonicalDomain(domainOf(address));
  const isOwnPostmaster = domain === hostname && isPostmaster;
  return { address, domain, hasSenderRouting: hasSenderRouting(address), isOwnPostmaster };
}
