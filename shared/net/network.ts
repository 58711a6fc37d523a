/** IP addresses in canonical text, and the networks that contain them; IPv4 and IPv6 alike. Pure. */
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** One CIDR network or single address. */
export class Network {
  readonly #base: Address;
  readonly #prefix: number;

  private constructor(base: Address, prefix: number) {
    this.#base = base;
    this.#prefix = prefix;
  }

  /** @throws Error when the text is neither `address` nor `address/prefix` */
  static parse(text: string): Network {
    const slash = text.indexOf("/");
    const base = parseAddress(slash < 0 ? text : text.slice(0, slash));
    if (base === undefined) throw new Error("is not a network: give CIDR or a single address");
    const bits = base.kind() === "ipv4" ? 32 : 128;
    if (slash < 0) return new Network(base, bits);
    const prefixText = text.slice(slash + 1);
    const prefix = Number(prefixText);
    if (!/^\d{1,3}$/.test(prefixText) || prefix > bits) {
      throw new Error(`is not a network: the prefix length goes from 0 to ${bits}`);
    }
    return new Network(base, prefix);
  }

  contains(address: string): boolean {
    const parsed = parseAddress(address);
    if (parsed === undefined || parsed.kind() !== this.#base.kind()) return false;
    return parsed.match(this.#base as ipaddr.IPv4, this.#prefix);
  }

  /** Whether every address of the other network is in this one. */
  covers(other: Network): boolean {
    return this.#prefix <= other.#prefix && this.contains(other.#base.toString());
  }

  /** @property bits  as addressBits() gives them */
  range(): { bits: string; prefix: number } {
    return { bits: bitsOf(this.#base), prefix: this.#prefix };
  }

  toString(): string {
    return `${this.#base.toString()}/${this.#prefix}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** `4` or `6` for the family, then the bits as `0` and `1`. @returns `undefined` when it is no address */
export function addressBits(text: string): string | undefined {
  const parsed = parseAddress(text);
  return parsed && bitsOf(parsed);
}

function bitsOf(address: Address): string {
  let bits = address.kind() === "ipv4" ? "4" : "6";
  for (const octet of address.toByteArray()) bits += octet.toString(2).padStart(8, "0");
  return bits;
}

/** Canonical text of an IP address, IPv4-mapped IPv6 as IPv4. @returns `undefined` for zones, octal, short forms and all other text */
export function canonicalAddress(text: string): string | undefined {
  return parseAddress(text)?.toString();
}

/**
 * Canonical text of an address that may stand in brackets: `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3),
 * `2001:db8::1`.
 * @returns `undefined` when it is no address
 */
export function literalAddress(text: string): string | undefined {
  return canonicalAddress(/^\[(?:ipv6:)?(.*)\]$/i.exec(text)?.[1] ?? text);
}

/** The network of this prefix length that contains an IPv6 address: `2001:db8::/64`. Other text is returned unchanged. */
export function ipv6Network(address: string, bits: 48 | 56 | 64): string {
  const parsed = parseAddress(address);
  if (parsed === undefined || parsed.kind() === "ipv4") return address;
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/${bits}`).toString()}/${bits}`;
}

/** Whether the address is on this machine, so that no network can listen in. @param address  canonical text */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^127\.\d+\.\d+\.\d+$/.test(address);
}

/** Whether it is `0.0.0.0` or `::` (or `0.x.x.x`, RFC 1122 §3.2.1.3): connections to it stay on this machine. @param address  canonical text */
export function isUnspecified(address: string): boolean {
  return address === "::" || /^0\.\d+\.\d+\.\d+$/.test(address);
}

function parseAddress(text: string): Address | undefined {
  // Host names come by the hundred thousand, and the package throws and catches an error for each.
  if (!/^[\d.]+$/.test(text) && !text.includes(":")) return undefined;
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !(text.includes(":") && ipaddr.IPv6.isValid(text)))
    return undefined;
  if (text.includes("%")) return undefined;
  return ipaddr.process(text);
}
