/** The name servers (/etc/resolv.conf) and the hosts file (/etc/hosts) of the system. */
import { readFileSync, statSync } from "node:fs";
import type { HostPort } from "../../net/endpoint.ts";
import { parseEndpoint } from "../../net/endpoint.ts";
import { canonicalAddress } from "../../net/network.ts";

const dnsPort = 53;
/** resolv.conf(5): the default, the server on this machine. */
const localServer: HostPort = { host: "127.0.0.1", port: dnsPort };
/** How often the hosts file is checked for changes. */
const hostsCheckMs = 5000;

/**
 * `address`, `address:port`, `[v6]` or `[v6]:port`; also a bare IPv6 address, as in resolv.conf.
 * @returns `undefined` for host names: nothing could resolve them
 */
export function parseNameServer(text: string): HostPort | undefined {
  const endpoint = parseEndpoint(text, dnsPort);
  return endpoint && { host: endpoint.address, port: endpoint.port };
}

/** The `nameserver` lines of resolv.conf, in order. */
export function parseResolvConf(text: string): HostPort[] {
  const servers: HostPort[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*nameserver\s+(\S+)/.exec(line);
    // A link-local address with a zone (fe80::1%eth0) is skipped.
    const server = match?.[1] === undefined ? undefined : parseNameServer(match[1]);
    if (server !== undefined) servers.push(server);
  }
  return servers.length > 0 ? servers : [localServer];
}

/** @throws Error when a configured server is not an address */
export function nameServers(configured: string[] | undefined, resolvConf = "/etc/resolv.conf"): HostPort[] {
  if (configured === undefined) return parseResolvConf(readIfThere(resolvConf));
  return configured.map((text) => {
    const server = parseNameServer(text);
    if (server === undefined) throw new Error(`dns.servers: '${text}' is not an address or address:port`);
    return server;
  });
}

/** hosts(5): the addresses of each name, lower case, in the order of the file. */
export function parseHosts(text: string): Map<string, string[]> {
  const hosts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [first = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const address = canonicalAddress(first);
    if (address === undefined) continue;
    for (const name of names.map((given) => given.toLowerCase())) {
      const known = hosts.get(name);
      if (known === undefined) hosts.set(name, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return hosts;
}

/** The hosts file, which is read again when it has changed. */
export class HostsFile {
  readonly #path: string;
  #hosts = new Map<string, string[]>();
  #modifiedMs = -1;
  #checkedMs = Number.NEGATIVE_INFINITY;

  constructor(path = "/etc/hosts") {
    this.#path = path;
  }

  /** The addresses of a name; `[]` when the file does not list it. */
  addresses(name: string, nowMs: number): string[] {
    if (nowMs - this.#checkedMs >= hostsCheckMs) {
      this.#checkedMs = nowMs;
      const modifiedMs = statSync(this.#path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      if (modifiedMs !== this.#modifiedMs) {
        this.#modifiedMs = modifiedMs;
        this.#hosts = parseHosts(readIfThere(this.#path));
      }
    }
    return this.#hosts.get(name.toLowerCase()) ?? [];
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
