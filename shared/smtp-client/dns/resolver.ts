/**
 * The resolver: questions of mail to the DNS. It owns its cache and nothing else: every
 * question opens and closes its own socket.
 */

import { domainToASCII } from "node:url";
import type { HostPort } from "../../net/endpoint.ts";
import {
  type DnsAnswer,
  type DnsReply,
  type MxRecord,
  maxAliases,
  type RecordType,
  type ReplyRecord,
  readReply,
  wireName,
} from "./answer.ts";
import { TtlCache } from "./cache.ts";
import { type Exchanged, exchangeTcp, exchangeUdp } from "./exchange.ts";
import { makeQuery, saysNoEdns } from "./packet.ts";
import type { TlsaRecord } from "./tlsa.ts";

export interface Resolver {
  mx(domain: string): Promise<DnsAnswer<MxRecord>>;
  /** IPv4 addresses. */
  a(host: string): Promise<DnsAnswer<string>>;
  /** IPv6 addresses. */
  aaaa(host: string): Promise<DnsAnswer<string>>;
  /** Each record's strings joined. */
  txt(name: string): Promise<DnsAnswer<string>>;
  /** RFC 6698; unreadable records are included, as unusable ones. */
  tlsa(name: string): Promise<DnsAnswer<TlsaRecord>>;
  /** The CNAME itself, not followed. */
  cname(name: string): Promise<DnsAnswer<string>>;
}

export interface ResolverOptions {
  /** Asked in this order. */
  servers: HostPort[];
  /** Believe the AD bit of each of them; absent: only of one at exactly 127.0.0.1 or ::1. */
  trustAd?: boolean;
  /** For one question to one server over UDP; over TCP twice as long. */
  timeoutMs?: number;
  /** Entries of the cache: one for each name and type. */
  cacheSize?: number;
  /** Epoch milliseconds. */
  now?: () => number;
}

const defaultTimeoutMs = 3000;
const defaultCacheSize = 20_000;
/** Questions to each server before the look-up fails. */
const triesPerServer = 2;
/** RFC 8767 §4 and common practice: longest life of an answer. */
const maxTtlSeconds = 86_400;
/** RFC 2308 §5: longest life of a negative answer. */
const maxNegativeTtlSeconds = 10_800;
/** RFC 9520 §3.2: failures are cached too, or a thousand messages would ask a thousand times. */
const failureTtlMs = 5000;
/** How long a server that did not answer is asked last. */
const unresponsiveMs = 30_000;

type CachedAnswer =
  | { kind: "found"; records: ReplyRecord[]; authenticated: boolean; alias?: string }
  | { kind: "nodata" | "nxdomain"; authenticated: boolean }
  | { kind: "unavailable"; reason: string; isLocal?: true };
interface CacheEntry {
  answer: CachedAnswer;
  expiresAtMs: number;
}

export function createResolver(options: ResolverOptions): Resolver {
  const now = options.now ?? Date.now;
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const cache = new TtlCache<CacheEntry>(options.cacheSize ?? defaultCacheSize);
  const inFlight = new Map<string, Promise<CacheEntry>>();
  const unresponsiveUntilMs = new Map<HostPort, number>();

  async function lookup<T>(
    given: string,
    type: RecordType,
    read: (record: ReplyRecord) => T | undefined,
  ): Promise<DnsAnswer<T>> {
    const name = wireName(given, domainToASCII);
    // Text that cannot be a name does not exist.
    if (name === undefined) return { kind: "nxdomain", authenticated: false };
    const key = `${type} ${name}`;
    let entry = cache.get(key, now());
    if (entry === undefined) {
      let question = inFlight.get(key);
      if (question === undefined) {
        question = resolve(name, type).finally(() => inFlight.delete(key));
        inFlight.set(key, question);
      }
      entry = await question;
    }
    const { answer } = entry;
    if (answer.kind !== "found") return answer;
    const records = answer.records.map(read).filter((record) => record !== undefined);
    const ttl = Math.max(0, Math.ceil((entry.expiresAtMs - now()) / 1000));
    const { authenticated, alias } = answer;
    return { kind: "found", records, ttl, authenticated, ...(alias === undefined ? {} : { alias }) };
  }

  /** Follows CNAMEs over several questions, and caches the answer under the first name. */
  async function resolve(name: string, type: RecordType): Promise<CacheEntry> {
    let owner = name;
    let ttl = maxTtlSeconds;
    let authenticated = true;
    for (let aliases = 0; aliases <= maxAliases; aliases++) {
      const asked = await ask(owner, type);
      // The next question may find a descriptor, and costs nothing where it does not.
      if (asked.kind === "unavailable")
        return cacheAnswer(name, type, asked, asked.isLocal === true ? 0 : failureTtlMs);
      authenticated &&= asked.authenticated;
      const { reading } = asked;
      switch (reading.kind) {
        case "records": {
          const alias = reading.owner === name ? {} : { alias: reading.owner };
          const found = { kind: "found", records: reading.records, authenticated, ...alias } as const;
          return cacheAnswer(name, type, found, Math.min(ttl, reading.ttl) * 1000);
        }
        case "alias":
          owner = reading.name;
          ttl = Math.min(ttl, reading.ttl);
          continue;
        case "nodata":
        case "nxdomain": {
          const holdsMs = Math.min(ttl, reading.ttl ?? 0, maxNegativeTtlSeconds) * 1000;
          return cacheAnswer(name, type, { kind: reading.kind, authenticated }, holdsMs);
        }
      }
    }
    return cacheAnswer(
      name,
      type,
      { kind: "unavailable", reason: `too many CNAMEs at ${name}` },
      failureTtlMs,
    );
  }

  function cacheAnswer(name: string, type: RecordType, answer: CachedAnswer, holdsMs: number): CacheEntry {
    const entry = { answer, expiresAtMs: now() + holdsMs };
    if (holdsMs > 0) cache.set(`${type} ${name}`, entry, entry.expiresAtMs);
    return entry;
  }

  /** Asks server after server, in several rounds, until one answers. */
  async function ask(name: string, type: RecordType) {
    let reason = "no name server";
    let isLocal = false;
    for (let round = 0; round < triesPerServer; round++) {
      for (const server of inOrder()) {
        const asked = await askServer(server, name, type);
        if (asked.kind === "reply") {
          unresponsiveUntilMs.delete(server);
          const reading = readReply(name, type, asked.reply);
          if (reading.kind !== "failure") {
            const isBelieved = options.trustAd === true || isOnThisMachine(server);
            return {
              kind: "answered" as const,
              reading,
              authenticated: asked.reply.authenticated && isBelieved,
            };
          }
          reason = `${reading.reason} from ${server.host} for ${type} ${name}`;
          isLocal = false;
        } else if (asked.kind === "local") {
          reason = `${asked.reason}: ${server.host} cannot be asked for ${type} ${name}`;
          isLocal = true;
        } else {
          isLocal = false;
          unresponsiveUntilMs.set(server, now() + unresponsiveMs);
          const why = asked.kind === "timeout" ? "no answer" : asked.reason;
          reason = `${why} from ${server.host} for ${type} ${name}`;
        }
      }
    }
    return { kind: "unavailable" as const, reason, ...(isLocal ? { isLocal: true as const } : {}) };
  }

  function inOrder(): HostPort[] {
    if (unresponsiveUntilMs.size === 0) return options.servers;
    const nowMs = now();
    const isUnresponsive = (server: HostPort) => (unresponsiveUntilMs.get(server) ?? 0) > nowMs;
    return [
      ...options.servers.filter((server) => !isUnresponsive(server)),
      ...options.servers.filter((server) => isUnresponsive(server)),
    ];
  }

  async function askServer(server: HostPort, name: string, type: RecordType): Promise<Exchanged<DnsReply>> {
    const first = await exchange(server, name, type, true);
    // RFC 6891 §6.2.2 and §7: servers without EDNS are asked again without it.
    if (first.kind !== "reply" || !saysNoEdns(first.reply)) return first;
    return exchange(server, name, type, false);
  }

  async function exchange(server: HostPort, name: string, type: RecordType, edns: boolean) {
    const { query, recognise } = makeQuery(name, type, edns);
    const answered = await exchangeUdp(server, query, recognise, timeoutMs);
    // RFC 7766 §5: a truncated answer is not used; the question is repeated over TCP.
    if (answered.kind !== "reply" || !answered.reply.truncated) return answered;
    const overTcp = makeQuery(name, type, edns);
    return exchangeTcp(server, overTcp.query, overTcp.recognise, 2 * timeoutMs);
  }

  return {
    mx: (domain) => lookup(domain, "MX", (record) => record.mx),
    a: (host) => lookup(host, "A", (record) => record.text),
    aaaa: (host) => lookup(host, "AAAA", (record) => record.text),
    txt: (name) => lookup(name, "TXT", (record) => record.txt),
    tlsa: (name) => lookup(name, "TLSA", (record) => record.tlsa),
    cname: (name) => lookup(name, "CNAME", (record) => record.text),
  };
}

/**
 * RFC 7672 §2.2: AD is believed of a resolver on this machine only. Other loopback addresses often belong to forwarders:
 * Docker's 127.0.0.11 passes on the AD bit of a remote server.
 */
function isOnThisMachine({ host }: HostPort): boolean {
  return host === "127.0.0.1" || host === "::1";
}
