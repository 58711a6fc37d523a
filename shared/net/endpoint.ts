/** An address or host name with a port, as structures and as text. Pure. */

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

/** `host:port` or `[v6]:port`. */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]@/]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port === undefined || port < 1 || port > 65_535) return undefined;
  return { host: host.toLowerCase(), port };
}
