/**
 * Paths and mailboxes (RFC 5321 §4.1.2, with the UTF-8 of RFC 6531 §3.3), kept exactly as written. This room knows the
 * message: envelope, addresses, header fields, queue id and the record in the spool. Pure.
 */
import { canonicalAddress } from "../net/network.ts";

export type ParsedPath =
  /** `<>` */
  | { kind: "null"; end: number }
  | {
      kind: "mailbox";
      /** As written, without angle brackets and without the source route. */
      address: string;
      /** RFC 5321 §4.1.1.3: `<@a,@b:user@domain>`; the route is ignored, but it shows that the client wants relaying. */
      sourceRoute: boolean;
      /** False: the address needs SMTPUTF8. */
      ascii: boolean;
      /** Index of the first character behind the path. */
      end: number;
    }
  /** A local part alone, `<postmaster>`. */
  | { kind: "unqualified"; localPart: string; end: number }
  | { kind: "invalid"; reason: string };

/**
 * RFC 5321 §4.5.3.1.1 and .2 require at least 64 and 255 octets and recommend no limit, since VERP makes long local
 * parts. These limits only keep one address from filling headers and logs.
 */
const maxLocalPart = 256;
const maxDomain = 255;

const space = 32;
const quote = 34;
const dot = 46;
const less = 60;
const greater = 62;
const atSign = 64;
const openBracket = 91;
const backslash = 92;

/** RFC 5322 §3.2.3 atext. */
const isAtext = new Uint8Array(128);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~")
  isAtext[character.charCodeAt(0)] = 1;

/** Letters, digits, hyphen, and the underscore that real host names have although RFC 1035 forbids it. */
const isDomainCharacter = new Uint8Array(128);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
  isDomainCharacter[character.charCodeAt(0)] = 1;

/** One or more `@domain` joined by commas, and the colon. */
const sourceRoute = /@[^\s,:@<>"]+(?:,@[^\s,:@<>"]+)*:/y;
/** RFC 5321 §4.1.3; canonicalAddress() checks the address inside. */
const addressLiteral = /\[(?:(IPv6):)?([0-9A-Fa-f:.]+)\]/iy;

/**
 * Parses the path that starts at `start`. Angle brackets may be missing, as some clients leave them out;
 * dots may stand anywhere in a local part, since large providers once gave out such addresses.
 */
export function parsePath(text: string, start: number): ParsedPath {
  const bracketed = text.charCodeAt(start) === less;
  let at = bracketed ? start + 1 : start;
  if (bracketed && text.charCodeAt(at) === greater) return { kind: "null", end: at + 1 };
  let routed = false;
  if (bracketed && text.charCodeAt(at) === atSign) {
    sourceRoute.lastIndex = at;
    if (!sourceRoute.test(text)) return invalid("the source route is malformed");
    at = sourceRoute.lastIndex;
    routed = true;
  }

  const localEnd = scanLocalPart(text, at);
  if (localEnd < 0) return invalid("the local part is malformed");
  if (localEnd - at > maxLocalPart) return invalid("the local part is too long");
  if (text.charCodeAt(localEnd) !== atSign) {
    const end = endOfPath(text, localEnd, bracketed);
    if (end < 0 || routed) return invalid("the local part is malformed");
    return { kind: "unqualified", localPart: text.slice(at, localEnd), end };
  }
  const domainStart = localEnd + 1;
  const domainEnd =
    text.charCodeAt(domainStart) === openBracket
      ? scanAddressLiteral(text, domainStart)
      : scanDomain(text, domainStart);
  if (domainEnd < 0) return invalid("the domain is malformed");
  if (domainEnd - domainStart > maxDomain) return invalid("the domain is too long");
  const end = endOfPath(text, domainEnd, bracketed);
  if (end < 0) return invalid("the domain is malformed");
  const address = text.slice(at, domainEnd);
  return { kind: "mailbox", address, sourceRoute: routed, ascii: isAscii(address), end };
}

/** What stands behind the last `@`, as written; "" when there is none. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf("@") + 1 || address.length);
}

/** What stands before the last `@`, as written, quotes and all. */
export function localPartOf(address: string): string {
  const at = address.lastIndexOf("@");
  return at < 0 ? address : address.slice(0, at);
}

/** A local part without its quotes and backslashes: `"post\master"` is `postmaster` (RFC 5321 §4.1.2). */
export function unquotedLocalPart(localPart: string): string {
  if (!localPart.startsWith('"')) return localPart;
  return localPart.slice(1, localPart.endsWith('"') ? -1 : undefined).replaceAll(/\\(.)/g, "$1");
}

/**
 * Whether the local part asks the receiver to send the mail on: `user%there@here`, `there!user@here`,
 * `"user@there"@here`. A server that trusts the gateway might do so, and relay for a stranger.
 */
export function hasSenderRouting(address: string): boolean {
  return /[%!@]/.test(localPartOf(address));
}

export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

function invalid(reason: string): ParsedPath {
  return { kind: "invalid", reason };
}

/** Index behind the closing bracket, or `at` itself where a bare path ends; -1 when something else stands there. */
function endOfPath(text: string, at: number, bracketed: boolean): number {
  if (bracketed) return text.charCodeAt(at) === greater ? at + 1 : -1;
  return at === text.length || text.charCodeAt(at) === space ? at : -1;
}

/** Index behind the local part, -1 when there is none. */
function scanLocalPart(text: string, start: number): number {
  if (text.charCodeAt(start) === quote) return scanQuotedString(text, start);
  let at = start;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 127 ? isControl(code) : isAtext[code] === 0 && code !== dot) break;
  }
  return at > start ? at : -1;
}

/** RFC 5321 §4.1.2 Quoted-string: printable characters, the backslash takes the next one as it is. */
function scanQuotedString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) return at + 1;
    if (isControl(code)) return -1;
    if (code === backslash) {
      at++;
      const escaped = text.charCodeAt(at);
      if (!(escaped >= 32 && escaped <= 126)) return -1;
    }
  }
  return -1;
}

/** Index behind a domain of labels (U-labels too), -1 when it has an empty or hyphen-edged label. */
function scanDomain(text: string, start: number): number {
  let labelStart = start;
  for (let at = start; ; at++) {
    const code = text.charCodeAt(at);
    if (code > 127 ? !isControl(code) : isDomainCharacter[code] === 1) continue;
    // RFC 1035 §2.3.4: a label has 63 octets at most.
    const length = at - labelStart;
    if (length === 0 || length > 63 || text[labelStart] === "-" || text[at - 1] === "-") return -1;
    if (code !== dot) return at;
    labelStart = at + 1;
  }
}

function scanAddressLiteral(text: string, start: number): number {
  addressLiteral.lastIndex = start;
  const match = addressLiteral.exec(text);
  const [, tag, address = ""] = match ?? [];
  if (match === null || (tag === undefined) === address.includes(":")) return -1;
  return canonicalAddress(address) === undefined ? -1 : addressLiteral.lastIndex;
}

/** C0, DEL, C1 and the Unicode line ends, which would split log lines and header fields. */
function isControl(code: number): boolean {
  return code < 32 || (code >= 127 && code < 160) || code === 0x2028 || code === 0x2029;
}
