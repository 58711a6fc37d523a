/** Who may do what at the admin's door: one pure decision, made before anything of the request is parsed. */
import { createHash, timingSafeEqual } from "node:crypto";
import ipaddr from "ipaddr.js";

/**
 * What a route gives away or changes.
 * `open`: a yes or no for probes that can carry no token. `read`: envelopes, counts, pages.
 * `content`: what is inside a message. `write`: changes something.
 */
export type Access = "open" | "read" | "content" | "write";

/** The facts of a request that the decision needs. */
export interface Caller {
  /** The peer's address as the socket has it; never from a header. */
  remoteAddress: string | undefined;
  authorization: string | undefined;
  host: string | undefined;
  /** Whether a header says that somebody else's request is being passed on (Forwarded, X-Forwarded-*, Via). */
  forwarded: boolean;
}

export interface AccessPolicy {
  /** Absent: none is configured, and then nobody may write. */
  token: string | undefined;
  /** Names besides `localhost` and IP literals under which loopback clients may call us; lower case. */
  hostNames: readonly string[];
}

export type AccessDecision =
  /** `trusted` is false only for `open` routes: answer without details. */
  | { kind: "granted"; trusted: boolean }
  /** 401: credentials are missing or wrong. */
  | { kind: "unauthenticated"; detail: string }
  /** 403: no credentials could help here, or not these. */
  | { kind: "forbidden"; detail: string };

/**
 * Decides by the peer's address and the credentials alone.
 *
 * A browser sends neither a Bearer token nor anything else of its own accord, so a page of somebody else cannot
 * write (no CSRF). Basic credentials, which browsers do repeat, therefore open reads and nothing else.
 * A name of somebody else that resolves to 127.0.0.1 (DNS rebinding) arrives with that name in Host, and gets no
 * trust for coming from loopback.
 */
export function decideAccess(access: Access, caller: Caller, policy: AccessPolicy): AccessDecision {
  const credentials = parseCredentials(caller.authorization);
  if (credentials.kind !== "none") return decideByCredentials(access, credentials, policy);

  const local = isLoopback(caller.remoteAddress) && !caller.forwarded;
  const named = isOwnName(caller.host, policy.hostNames);
  if (access === "open") return { kind: "granted", trusted: local && named };
  if (access === "read" && local) {
    if (named) return { kind: "granted", trusted: true };
    return {
      kind: "forbidden",
      detail: "Without a token, call the admin by localhost, by an IP address or by its configured name.",
    };
  }
  if (policy.token === undefined) return noToken;
  return { kind: "unauthenticated", detail: "Send Authorization: Bearer TOKEN." };
}

type Credentials =
  | { kind: "none" }
  | { kind: "bearer"; token: string }
  | { kind: "basic"; token: string }
  | { kind: "unknown" };

const noToken: AccessDecision = {
  kind: "forbidden",
  detail: "No token is configured: set admin.token, or let the admin make one in data/admin.token.",
};

function decideByCredentials(
  access: Access,
  credentials: Exclude<Credentials, { kind: "none" }>,
  policy: AccessPolicy,
): AccessDecision {
  if (policy.token === undefined) return access === "open" ? { kind: "granted", trusted: false } : noToken;
  const right = credentials.kind !== "unknown" && sameSecret(credentials.token, policy.token);
  if (!right) {
    // A probe learns no more by a wrong token than by none, and must not fail for it.
    if (access === "open") return { kind: "granted", trusted: false };
    return { kind: "unauthenticated", detail: "The token is not the right one." };
  }
  if (access === "write" && credentials.kind === "basic") {
    return { kind: "forbidden", detail: "Changes need Authorization: Bearer TOKEN; Basic is for reading." };
  }
  return { kind: "granted", trusted: true };
}

/** RFC 6750 §2.1 and RFC 7617 §2; of Basic only the password counts. */
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

/** Compares in a time that depends on neither the contents nor the lengths. */
function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/** Whether the socket's peer is this machine's loopback, IPv4-mapped IPv6 included. */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined || !ipaddr.isValid(address)) return false;
  return ipaddr.process(address).range() === "loopback";
}

/** Whether a Host field names us in a way that no foreign DNS zone can. */
export function isOwnName(host: string | undefined, hostNames: readonly string[]): boolean {
  if (host === undefined) return false;
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]@/\s]+))(?::\d{1,5})?$/.exec(host);
  const name = (match?.[1] ?? match?.[2])?.toLowerCase();
  if (name === undefined) return false;
  if (match?.[1] !== undefined) return ipaddr.IPv6.isValid(name);
  return name === "localhost" || ipaddr.IPv4.isValidFourPartDecimal(name) || hostNames.includes(name);
}
