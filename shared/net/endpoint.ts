/**
 * Where something listens: an address or a host name with a port, as a value and as text. This room knows addresses,
 * endpoints and networks, and no protocol. Pure.
 */
import { canonicalAddress } from "./network.ts";

export interface Endpoint {
  /** An IPv4 or IPv6 address in canonical text; an IPv4-mapped IPv6 address is written as IPv4. */
  address: string;
  port: number;
}

export interface HostPort {
  /** A host name, an IPv4 address, or an IPv6 address without brackets. */
  host: string;
  port: number;
}

/** `address:port`, with brackets around IPv6. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return formatHostPort({ host: address, port });
}

/** `host:port`, with brackets around IPv6. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `host:port` or `[v6]:port`; the port may be missing where there is a default. The host in lower case. */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]@/]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port === undefined || port < 1 || port > 65_535) return undefined;
  return isHost(host) ? { host: host.toLowerCase(), port } : undefined;
}

/** An IP address without brackets, or a host name. */
export function isHost(text: string): boolean {
  return canonicalAddress(text) !== undefined || isHostName(text);
}

const label = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_-]{0,61}[\p{L}\p{M}\p{N}_])?$/u;

/**
 * RFC 1123 §2.1, with the underscores of container networks, and international names. A name does not end in a number:
 * resolvers would read `300.1.1.1`, `127.1` or `0x7f000001` as an address.
 */
export function isHostName(text: string): boolean {
  const labels = text.replace(/\.$/, "").split(".");
  const last = labels.at(-1) ?? "";
  return (
    text.length <= 254 && labels.every((each) => label.test(each)) && !/^(?:\d+|0x[\da-f]*)$/i.test(last)
  );
}

/** `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`. @returns `undefined` for all other text */
export function parseEndpoint(text: string, defaultPort: number): Endpoint | undefined {
  const bare = canonicalAddress(text);
  if (bare !== undefined) return { address: bare, port: defaultPort };
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = canonicalAddress(match?.[1] ?? match?.[2] ?? "");
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (address === undefined || port < 1 || port > 65_535) return undefined;
  if ((match?.[1] !== undefined) !== (match?.[1] ?? match?.[2] ?? "").includes(":")) return undefined;
  return { address, port };
}
