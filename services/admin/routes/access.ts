/** Access control of the admin: one pure decision, made before the request is parsed. */
import { createHash, timingSafeEqual } from "node:crypto";
import ipaddr from "ipaddr.js";

/**
 * What a route reveals or changes.
 * `open`: yes or no, for probes that cannot send a token. `read`: envelopes, counts, pages.
 * `content`: header fields and bodies of messages. `write`: changes something.
 */
export type Access = "open" | "read" | "content" | "write";

/** The facts of a request that the decision needs. */
export interface Caller {
  /** The peer's address as the socket has it; never from a header. */
  remoteAddress: string | undefined;
  authorization: string | undefined;
  host: string | undefined;
  /** Whether a header says that a proxy passes on another client's request (Forwarded, X-Forwarded-*, Via). */
  forwarded: boolean;
}

/** What a token allows. `content` and `write` include `read`. */
export type Scope = Exclude<Access, "open">;

export interface AdminToken {
  /** Who uses it, for the log. */
  name: string;
  token: string;
  scopes: readonly Scope[];
}

export interface AccessPolicy {
  /** Without any nobody may write. */
  tokens: readonly AdminToken[];
  /** Host names besides `localhost` and IP addresses that loopback clients may use; lower case. */
  hostNames: readonly string[];
}

export type AccessDecision =
  | { kind: "granted"; caller: Admitted }
  /** 401: credentials are missing or wrong. */
  | { kind: "unauthenticated"; detail: string }
  /** 403: other credentials are needed, or none would help. */
  | { kind: "forbidden"; detail: string };

/** Whom a request was granted to. */
export interface Admitted {
  /** The name of the token; `undefined` without one. */
  name: string | undefined;
  /** Whether it may see details: false only on `open` routes, which then answer yes or no. */
  trusted: boolean;
  /** Whether it may see header fields and bodies of messages. */
  mayReadContent: boolean;
}

/**
 * Decides by the peer's address and the credentials alone.
 *
 * A browser never sends a Bearer token by itself, so that a foreign page cannot write (CSRF). Browsers do repeat Basic
 * credentials, which are therefore good for reading only. A foreign name that resolves to 127.0.0.1 (DNS rebinding)
 * arrives in Host, and such a request is not trusted though it comes from loopback.
 */
export function decideAccess(access: Access, caller: Caller, policy: AccessPolicy): AccessDecision {
  const credentials = parseCredentials(caller.authorization);
  if (credentials.kind !== "none") return decideByCredentials(access, credentials, policy);

  const local = isLoopback(caller.remoteAddress) && !caller.forwarded;
  const named = isOwnName(caller.host, policy.hostNames);
  if (access === "open") return granted(local && named);
  if (access === "read" && local) {
    if (named) return granted(true);
    return {
      kind: "forbidden",
      detail: "Without a token, call the admin by localhost, by an IP address or by its configured name.",
    };
  }
  if (policy.tokens.length === 0) return noToken;
  return { kind: "unauthenticated", detail: "Send Authorization: Bearer TOKEN." };
}

/** Without a token. */
function granted(trusted: boolean): AccessDecision {
  return { kind: "granted", caller: { name: undefined, trusted, mayReadContent: false } };
}

type Credentials =
  | { kind: "none" }
  | { kind: "bearer"; token: string }
  | { kind: "basic"; token: string }
  | { kind: "unknown" };

const noToken: AccessDecision = {
  kind: "forbidden",
  detail: "No token is configured: set admin.tokens, or let the admin create one in data/admin.token.",
};

function decideByCredentials(
  access: Access,
  credentials: Exclude<Credentials, { kind: "none" }>,
  policy: AccessPolicy,
): AccessDecision {
  const found = credentials.kind === "unknown" ? undefined : findToken(credentials.token, policy.tokens);
  if (found === undefined) {
    // A probe with a wrong token gets the same answer as one without.
    if (access === "open") return granted(false);
    if (policy.tokens.length === 0) return noToken;
    return { kind: "unauthenticated", detail: "The token is wrong." };
  }
  if (access === "write" && credentials.kind === "basic") {
    return { kind: "forbidden", detail: "Changes need Authorization: Bearer TOKEN; Basic is for reading." };
  }
  if ((access === "write" || access === "content") && !found.scopes.includes(access)) {
    return { kind: "forbidden", detail: `The token ${found.name} lacks the scope ${access}.` };
  }
  const mayReadContent = found.scopes.includes("content");
  return { kind: "granted", caller: { name: found.name, trusted: true, mayReadContent } };
}

/** Compares with every token, so that the time tells nothing about where it stands. */
function findToken(given: string, tokens: readonly AdminToken[]): AdminToken | undefined {
  let found: AdminToken | undefined;
  for (const each of tokens) if (sameSecret(given, each.token)) found ??= each;
  return found;
}

/** RFC 6750 §2.1 and RFC 7617 §2; the user name of Basic is ignored. */
function parseCredentials(header: string | undefined): Credentials {
  if (header === undefined) return { kind: "none" };
  const match = /^([A-Za-z]+) +(.+?) *$/.exec(header);
  const scheme = match?.[1]?.toLowerCase();
  const value = match?.[2] ?? "";
  // Node decodes header fields as Latin-1; a token beyond ASCII was sent as UTF-8.
  if (scheme === "bearer") return { kind: "bearer", token: Buffer.from(value, "latin1").toString("utf8") };
  if (scheme !== "basic") return { kind: "unknown" };
  const pair = Buffer.from(value, "base64").toString("utf8");
  return { kind: "basic", token: pair.slice(pair.indexOf(":") + 1) };
}

/** Compares in constant time, whatever the contents and lengths. */
function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** Whether an address is a loopback address, IPv4-mapped IPv6 included. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined || !ipaddr.isValid(address)) return false;
  return ipaddr.process(address).range() === "loopback";
}

/** Whether a Host field names the admin in a way that no foreign DNS zone can. */
export function isOwnName(host: string | undefined, hostNames: readonly string[]): boolean {
  if (host === undefined) return false;
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]@/\s]+))(?::\d{1,5})?$/.exec(host);
  const name = (match?.[1] ?? match?.[2])?.toLowerCase();
  if (name === undefined) return false;
  if (match?.[1] !== undefined) return ipaddr.IPv6.isValid(name);
  return name === "localhost" || ipaddr.IPv4.isValidFourPartDecimal(name) || hostNames.includes(name);
}
