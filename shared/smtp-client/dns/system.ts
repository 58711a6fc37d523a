/** What the system knows about names: its name servers (/etc/resolv.conf) and its hosts file (/etc/hosts). */
import { readFileSync, statSync } from "node:fs";
import type { HostPort } from "../../net/endpoint.ts";
import { parseHostPort } from "../../net/endpoint.ts";
import { canonicalAddress } from "../../net/network.ts";

const dnsPort = 53;
/** resolv.conf(5): without a name server, the one on this machine. */
const localServer: HostPort = { host: "127.0.0.1", port: dnsPort };
/** How often a change of the hosts file is looked for. */
const hostsCheckMs = 5000;

/**
 * `address`, `address:port`, `[v6]` or `[v6]:port`; also a bare IPv6 address, as in resolv.conf.
 * @returns `undefined` when it is not an address: a name server's name would have to be resolved by itself
 */
export function parseNameServer(text: string): HostPort | undefined {
  const bare = canonicalAddress(text);
  if (bare !== undefined) return { host: bare, port: dnsPort };
  const parsed = parseHostPort(text, dnsPort);
  const address = parsed && canonicalAddress(parsed.host);
  return parsed === undefined || address === undefined ? undefined : { host: address, port: parsed.port };
}

/** The `nameserver` lines of resolv.conf, in order. */
export function parseResolvConf(text: string): HostPort[] {
  const servers: HostPort[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*nameserver\s+(\S+)/.exec(line);
    // A zone (fe80::1%eth0) cannot be written in our configuration, yet it occurs here.
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

/** The hosts file, read again after it has changed. */
export class HostsFile {
  readonly #path: string;
  #hosts = new Map<string, string[]>();
  #modifiedMs = -1;
  #checkedMs = Number.NEGATIVE_INFINITY;

  constructor(path = "/etc/hosts") {
    this.#path = path;
  }

  /** The addresses of the name; `[]` when the file does not have it. */
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
