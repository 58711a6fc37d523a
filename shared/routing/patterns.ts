/** Compiled patterns of the configuration: domains of protected entries, addresses of routes. Pure. */
import { localPartOf } from "../mail/address.ts";
import { canonicalDomain } from "../mail/domain.ts";
import type { Mailbox } from "./mailbox.ts";

/** Values by domain pattern: `example.com` is that domain alone, `*.example.com` all domains below it. */
export class DomainTable<T> {
  readonly #exact = new Map<string, T>();
  readonly #below = new Map<string, T>();

  /** The first value of a pattern wins. */
  add(pattern: string, value: T): void {
    const isBelow = pattern.startsWith("*.");
    const table = isBelow ? this.#below : this.#exact;
    const domain = canonicalDomain(isBelow ? pattern.slice(2) : pattern);
    if (!table.has(domain)) table.set(domain, value);
  }

  /**
   * The value of the most specific pattern: the domain itself, then the nearest domain above.
   * @param domain  as canonicalDomain gives it
   */
  find(domain: string): T | undefined {
    const exact = this.#exact.get(domain);
    if (exact !== undefined || this.#below.size === 0) return exact;
    for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".", dot + 1)) {
      const above = this.#below.get(domain.slice(dot + 1));
      if (above !== undefined) return above;
    }
    return undefined;
  }
}

export type AddressPattern =
  /** `*` */
  | { kind: "any" }
  /** `<>`: the null reverse-path. */
  | { kind: "null" }
  | {
      kind: "mailbox";
      /** As localPartKey gives it; `undefined` is `*`. */
      localPart: string | undefined;
      /** As canonicalDomain gives it. */
      domain: string;
      /** `*.domain`: the domains below it, and not it. */
      below: boolean;
    };

/** @param text  valid by the schema: `*`, `<>`, `user@domain`, `*@domain`, `*@*.domain` */
export function parseAddressPattern(text: string): AddressPattern {
  if (text === "*") return { kind: "any" };
  if (text === "<>") return { kind: "null" };
  const at = text.lastIndexOf("@");
  const localPart = text.slice(0, at);
  const domain = text.slice(at + 1);
  const below = domain.startsWith("*.");
  return {
    kind: "mailbox",
    localPart: localPart === "*" ? undefined : localPartKey(localPart),
    domain: canonicalDomain(below ? domain.slice(2) : domain),
    below,
  };
}

/** @param mailbox  `null` is the null reverse-path */
export function matchesAddress(pattern: AddressPattern, mailbox: Mailbox | null): boolean {
  if (pattern.kind === "any") return true;
  if (pattern.kind === "null" || mailbox === null) return pattern.kind === "null" && mailbox === null;
  const { domain } = mailbox;
  const domainMatches = pattern.below ? domain.endsWith(`.${pattern.domain}`) : domain === pattern.domain;
  if (!domainMatches || pattern.localPart === undefined) return domainMatches;
  return localPartKey(localPartOf(mailbox.address)) === pattern.localPart;
}

/**
 * RFC 5321 §2.4 leaves the case of local parts to their own host; operators expect rules to match every spelling.
 * Unnecessary quotes do not count either (§4.1.2).
 */
export function localPartKey(localPart: string): string {
  const quoted = /^"(.*)"$/s.exec(localPart)?.[1];
  return (quoted === undefined ? localPart : quoted.replaceAll(/\\(.)/gs, "$1")).toLowerCase();
}
