/** Checks across keys: errors that no key has by itself. Pure; files.ts checks files. */
import { domainOf, parsePath } from "../mail/address.ts";
import { isHost, parseEndpoint } from "../net/endpoint.ts";
import { canonicalAddress } from "../net/network.ts";
import type { Finding, Path } from "./config-error.ts";

import type { Config } from "./schema.ts";

import { parseVia } from "./values.ts";

/** @param relayHosts  the names in `relay.hosts`, including entries with errors */
export function crossCheck(config: Config, relayHosts: ReadonlySet<string>): Finding[] {
  return [
    ...checkRedis(config.redis),
    ...checkSpool(config.spool),
    ...checkAddresses(config),
    ...checkTokens(config.admin),
    ...checkListeners(config.listeners),
    ...checkPorts(config),
    ...checkProtected(config.protected),
    ...checkAuth(config),
    ...checkRelay(config.relay, relayHosts),
    ...checkDurations(config),
    ...checkBursts(config),
    ...checkDsnFrom(config.dsn.from),
    ...checkPostmaster(config),
  ];
}

function checkSpool({ s3 }: Config["spool"]): Finding[] {
  if (s3 === undefined) return [];
  const findings: Finding[] = [];
  const at = (key: string, message: string): void =>
    void findings.push({ path: ["spool", "s3", key], message });
  if (s3.batch < 20 || s3.batch > 250) at("batch", "must be from 20ms to 250ms");
  if (s3.timeout < 1000) at("timeout", "must be 1s or more");
  if (s3.access_key_id !== undefined && s3.secret_access_key === undefined)
    at("secret_access_key", "is missing: spool.s3.access_key_id needs it");
  if (s3.access_key_id === undefined && s3.secret_access_key !== undefined)
    at("access_key_id", "is missing: spool.s3.secret_access_key needs it");
  if (s3.access_key_id === undefined && s3.session_token !== undefined)
    at("access_key_id", "is missing: spool.s3.session_token needs it");
  return findings;
}

function checkRedis(redis: Config["redis"]): Finding[] {
  if (redis === undefined) return [];
  const findings: Finding[] = [];
  const ways = (["url", "sentinels", "cluster"] as const).filter((key) => redis[key] !== undefined);
  if (ways.length === 0) findings.push({ path: ["redis"], message: "needs url, sentinels or cluster" });
  for (const way of ways.slice(1)) {
    findings.push({
      path: ["redis", way],
      message: `cannot stand beside redis.${ways[0]}: give one of them`,
    });
  }
  if (redis.url !== undefined && !isRedisUrl(redis.url)) {
    const message = "names no host: write redis://host:6379/0, rediss://… or unix:///path";
    findings.push({ path: ["redis", "url"], message });
  }
  if (redis.sentinels !== undefined && redis.name === undefined) {
    findings.push({ path: ["redis", "name"], message: "is missing: redis.sentinels needs the group's name" });
  }
  if ((redis.tls?.cert === undefined) !== (redis.tls?.key === undefined)) {
    const [given, missing] = redis.tls?.cert === undefined ? ["key", "cert"] : ["cert", "key"];
    findings.push({ path: ["redis", "tls", missing], message: `is missing: redis.tls.${given} needs it` });
  }
  return findings;
}

/** @param text  begins with a scheme of Redis, by the schema */
function isRedisUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) return false;
  if (url.protocol === "unix:") return url.pathname.length > 1;
  return isHost(decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, "$1"));
}

function checkAddresses(config: Config): Finding[] {
  const findings: Finding[] = [];
  const check = (path: Path, address: string) => {
    if (canonicalAddress(address) === undefined) findings.push({ path, message: "is not an IP address" });
  };
  for (const [index, listener] of config.listeners.entries())
    check(["listeners", index, "address"], listener.address);
  check(["admin", "address"], config.admin.address);
  check(["health", "address"], config.health.address);
  for (const [index, address] of config.own_addresses.entries()) check(["own_addresses", index], address);
  for (const [index, address] of config.delivery.source_addresses.entries()) {
    check(["delivery", "source_addresses", index], address);
  }
  for (const [index, server] of (config.dns?.servers ?? []).entries()) {
    if (parseEndpoint(server, 53) !== undefined) continue;
    const message = "is not a name server: write 192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53";
    findings.push({ path: ["dns", "servers", index], message });
  }
  return findings;
}

/** A token of two names would put the wrong one into the log. */
function checkTokens({ token, tokens }: Config["admin"]): Finding[] {
  const findings: Finding[] = [];
  const names = new Map<string, Path>(token === undefined ? [] : [["admin", ["admin", "token"]]]);
  const secrets = new Map<string, Path>(token === undefined ? [] : [[token, ["admin", "token"]]]);
  for (const [index, each] of tokens.entries()) {
    const path: Path = ["admin", "tokens", index];
    const sameName = names.get(each.name);
    if (sameName !== undefined)
      findings.push({ path: [...path, "name"], message: "is the name of two tokens", other: sameName });
    names.set(each.name, [...path, "name"]);
    const sameSecret = secrets.get(each.token);
    if (sameSecret !== undefined)
      findings.push({ path: [...path, "token"], message: "is used twice", other: sameSecret });
    secrets.set(each.token, [...path, "token"]);
  }
  return findings;
}

function checkListeners(listeners: Config["listeners"]): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, number>();
  for (const [index, listener] of listeners.entries()) {
    const first = seen.get(listener.name);
    if (first === undefined) seen.set(listener.name, index);
    else {
      const path = ["listeners", index, "name"];
      findings.push({ path, message: "is the name of two listeners", other: ["listeners", first, "name"] });
    }
    if (listener.destination === "proxy" && listener.trusted_proxies.length === 0) {
      const message = "must name at least one proxy: with `destination: proxy` nobody else is let in";
      findings.push({ path: ["listeners", index, "trusted_proxies"], message });
    }
    if (listener.destination === "self" && listener.shadow) {
      const message =
        "needs connections that were meant for another server: this listener's destination is self";
      findings.push({ path: ["listeners", index, "shadow"], message });
    }
  }
  return findings;
}

/** Two sockets of one family conflict on equal ports when their addresses are equal or one is the wildcard. */
function checkPorts(config: Config): Finding[] {
  const sockets = [
    ...config.listeners.map((listener, index) => ({ at: ["listeners", index] as Path, ...listener })),
    { at: ["admin"] as Path, ...config.admin },
    { at: ["health"] as Path, ...config.health },
  ].map(({ at, address, port }) => ({ at, port, address: canonicalAddress(address) ?? address }));
  return sockets.flatMap((socket, index): Finding[] => {
    const other = sockets.slice(0, index).find((earlier) => clash(earlier, socket));
    if (other === undefined) return [];
    const message = `is taken: ${other.address} port ${other.port} has its listener`;
    return [{ path: [...socket.at, "port"], message, other: [...other.at, "port"] }];
  });
}

function clash(a: { address: string; port: number }, b: { address: string; port: number }): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  if (a.address.includes(":") !== b.address.includes(":")) return false;
  return a.address === b.address || isWildcard(a.address) || isWildcard(b.address);
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

function checkProtected(entries: Config["protected"]): Finding[] {
  const findings: Finding[] = [];
  const seen = new Map<string, Path>();
  for (const [index, entry] of entries.entries()) {
    for (const [position, domain] of entry.domains.entries()) {
      const path = ["protected", index, "domains", position];
      const first = seen.get(domain);
      if (first === undefined) seen.set(domain, path);
      else findings.push({ path, message: "is protected already", other: first });
    }
  }
  return findings;
}

/** A password goes to a protected server under TLS only. */
function checkAuth({ auth, protected: entries }: Config): Finding[] {
  if (auth?.servers === undefined) return [];
  const path = ["auth", "servers"];
  if (entries.length === 0)
    return [{ path, message: "needs a protected domain: its servers know the users" }];
  return entries.flatMap(({ tls }, index) =>
    tls === "none"
      ? [
          {
            path: ["protected", index, "tls"],
            message: "must not be none: users log in under TLS",
            other: path,
          },
        ]
      : [],
  );
}

function checkRelay(relay: Config["relay"], relayHosts: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  const checkVia = (path: Path, via: string) => {
    if (parseVia(via, (name) => relayHosts.has(name)) !== undefined) return;
    const names = [...relayHosts];
    const known = names.length === 0 ? "" : ` (${names.join(", ")})`;
    const message = `names nothing: write a name of relay.hosts${known}, host:port, [v6]:port or mx`;
    findings.push({ path, message });
  };
  for (const [index, route] of relay.routes.entries()) checkVia(["relay", "routes", index, "via"], route.via);
  if (relay.backup !== undefined) checkVia(["relay", "backup", "via"], relay.backup.via);
  for (const [name, { host }] of Object.entries(relay.hosts)) {
    if (isHost(host)) continue;
    const message =
      "is not a host: write a name or an IP address without brackets; the port stands in `port`";
    findings.push({ path: ["relay", "hosts", name, "host"], message });
  }
  return findings;
}

/** The longest delay of setTimeout; longer ones fire at once. */
const maxTimerMs = 2 ** 31 - 1;

/** A burst is a part of a rate. */
function checkBursts({ limits: { clients, destinations } }: Config): Finding[] {
  const entries = [
    { path: ["limits", "clients"], entry: clients },
    ...destinations.map((entry, index) => ({ path: ["limits", "destinations", index], entry })),
  ];
  return entries
    .filter(({ entry: { rate, burst } }) => burst !== undefined && rate === undefined)
    .map(({ path }) => ({ path: [...path, "burst"], message: "needs a rate beside it" }));
}

function checkDurations(config: Config): Finding[] {
  const findings: Finding[] = [];
  for (const [index, waitMs] of config.queue.retry.entries()) {
    if (waitMs > 0) continue;
    findings.push({ path: ["queue", "retry", index], message: "must be longer than 0" });
  }
  for (const [key, timeoutMs] of Object.entries(config.timeouts)) {
    if (timeoutMs > 0 && timeoutMs <= maxTimerMs) continue;
    findings.push({ path: ["timeouts", key], message: "must be longer than 0 and at most 24d" });
  }
  for (const [index, { early_talker: waitMs }] of config.listeners.entries()) {
    // Clients give up after 5 minutes (RFC 5321 §4.5.3.2.1).
    if (waitMs >= 300_000)
      findings.push({ path: ["listeners", index, "early_talker"], message: "must be under 5m" });
  }
  return findings;
}

const notAddress = "is not an address: write user@example.com";

function checkDsnFrom(from: string | undefined): Finding[] {
  return from === undefined || isAddress(from) ? [] : [{ path: ["dsn", "from"], message: notAddress }];
}

function checkPostmaster({ postmaster, hostname, protected: entries, relay }: Config): Finding[] {
  if (postmaster === undefined) return [];
  if (!isAddress(postmaster)) return [{ path: ["postmaster"], message: notAddress }];
  const own = hostname.toLowerCase();
  const isProtected = entries
    .flatMap(({ domains }) => domains)
    .some((domain) => domain === own || (domain.startsWith("*.") && own.endsWith(domain.slice(1))));
  if (domainOf(postmaster).toLowerCase() !== own || isProtected || relay.routes.length > 0) return [];
  const message =
    "leads back to this gateway: name a mailbox on another server, or a route for it in relay.routes";
  return [{ path: ["postmaster"], message }];
}

function isAddress(text: string): boolean {
  const parsed = parsePath(text, 0);
  return parsed.kind === "mailbox" && parsed.end === text.length && !text.startsWith("<");
}
