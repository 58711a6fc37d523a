/**
 * The PROXY protocol's header, versions 1 and 2: the client, and the server that it meant to connect to. Pure.
 * Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt; sections (§) below are its own.
 */

import type { Endpoint } from "../../../shared/net/endpoint.ts";
import { canonicalAddress } from "../../../shared/net/network.ts";

export type ProxyHeader =
  | { kind: "proxied"; client: Endpoint; destination: Endpoint }
  /** LOCAL, UNKNOWN, and families without IP addresses: the connection stands for itself. */
  | { kind: "local" };

export type HeaderResult =
  /** It may still become a header. */
  | { kind: "incomplete" }
  /** It cannot become a header, whatever follows. */
  | { kind: "malformed"; reason: string }
  /** @property length  octets of the header; what follows is the client's */
  | { kind: "header"; header: ProxyHeader; length: number };

/** §2.1: "PROXY TCP6 ", two addresses, two ports, CRLF; UNKNOWN may be followed by anything up to the same length. */
const maxV1Octets = 107;
/** §2.2 leaves 64 KB for extensions; certificates, the largest of them, take one or two. */
const maxV2Octets = 16 + 4096;

const v1Start = Buffer.from("PROXY ");
const v2Signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n");

const incomplete = { kind: "incomplete" } as const;
const malformed = (reason: string) => ({ kind: "malformed", reason }) as const;

/** @param octets  everything that has come so far */
export function parseProxyHeader(octets: Buffer): HeaderResult {
  if (octets.length === 0) return incomplete;
  const start = octets[0] === v1Start[0] ? v1Start : v2Signature;
  const compared = Math.min(octets.length, start.length);
  if (octets.compare(start, 0, compared, 0, compared) !== 0) return malformed("not a PROXY header");
  if (octets.length < start.length) return incomplete;
  return start === v1Start ? parseV1(octets) : parseV2(octets);
}

function parseV1(octets: Buffer): HeaderResult {
  const end = octets.subarray(0, maxV1Octets).indexOf("\r\n");
  if (end < 0) return octets.length < maxV1Octets ? incomplete : malformed("version 1 without CRLF");
  const length = end + 2;
  const [, family, source, destination, sourcePort, destinationPort, ...rest] = octets
    .toString("latin1", 0, end)
    .split(" ");
  if (family === "UNKNOWN") return { kind: "header", header: { kind: "local" }, length };
  if (family !== "TCP4" && family !== "TCP6") return malformed("version 1 with an unknown family");
  if (rest.length > 0) return malformed("version 1 with too many words");
  const from = endpointV1(family, source, sourcePort);
  const to = endpointV1(family, destination, destinationPort);
  if (from === undefined || to === undefined) return malformed("version 1 with a bad address or port");
  return { kind: "header", header: { kind: "proxied", client: from, destination: to }, length };
}

function endpointV1(family: "TCP4" | "TCP6", text = "", portText = ""): Endpoint | undefined {
  const address = text.includes(":") === (family === "TCP6") ? canonicalAddress(text) : undefined;
  // §2.1: decimal, no leading zero.
  const port = /^(0|[1-9]\d{0,4})$/.test(portText) ? Number(portText) : 65_536;
  return address === undefined || port > 65_535 ? undefined : { address, port };
}

function parseV2(octets: Buffer): HeaderResult {
  const [version, family] = [octets[12], octets[13]];
  if (version === undefined) return incomplete;
  // §2.2: the upper half is the version, the lower one the command: 0 LOCAL, 1 PROXY.
  if (version !== 0x20 && version !== 0x21) return malformed("version 2 with an unknown version or command");
  if (family === undefined || octets.length < 16) return incomplete;
  const length = 16 + octets.readUInt16BE(14);
  if (length > maxV2Octets) return malformed(`version 2 of ${length} octets`);
  const isProxied = version === 0x21;
  const addresses = isProxied ? addressOctets(family) : 0;
  if (addresses === undefined) return malformed("version 2 with an unknown family");
  if (length < 16 + addresses) return malformed("version 2 too short for its addresses");
  if (octets.length < length) return incomplete;
  // §2.2: LOCAL and UNSPEC connections stand for themselves, and what they carry is skipped.
  if (addresses === 0) return { kind: "header", header: { kind: "local" }, length };
  const problem = checkExtensions(octets.subarray(0, length), 16 + addresses);
  if (problem !== undefined) return malformed(problem);
  return { kind: "header", header: headerV2(octets, addresses), length };
}

/** §2.2: family in the upper half, transport in the lower. Datagrams cannot come by TCP. */
function addressOctets(family: number): number | undefined {
  switch (family) {
    case 0x00:
      return 0;
    case 0x11:
      return 12;
    case 0x21:
      return 36;
    case 0x31:
      return 216;
    default:
      return undefined;
  }
}

function headerV2(octets: Buffer, addresses: number): ProxyHeader {
  if (addresses === 216) return { kind: "local" };
  const size = (addresses - 4) / 2;
  const ports = 16 + 2 * size;
  return {
    kind: "proxied",
    client: { address: addressV2(octets.subarray(16, 16 + size)), port: octets.readUInt16BE(ports) },
    destination: {
      address: addressV2(octets.subarray(16 + size, ports)),
      port: octets.readUInt16BE(ports + 2),
    },
  };
}

function addressV2(octets: Buffer): string {
  if (octets.length === 4) return octets.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => octets.readUInt16BE(2 * i).toString(16));
  return canonicalAddress(groups.join(":")) ?? groups.join(":");
}

/** PP2_TYPE_CRC32C. */
const crcType = 0x03;

/** §2.2.3: a checksum must be checked where there is one; all other extensions are skipped. */
function checkExtensions(header: Buffer, offset: number): string | undefined {
  for (let at = offset; at < header.length; ) {
    if (at + 3 > header.length) return "version 2 with a truncated extension";
    const length = header.readUInt16BE(at + 1);
    const value = at + 3;
    at = value + length;
    if (at > header.length) return "version 2 with a truncated extension";
    if (header[value - 3] !== crcType) continue;
    if (length !== 4) return "version 2 with a malformed checksum";
    const zeroed = Buffer.from(header);
    zeroed.fill(0, value, value + 4);
    if (crc32c(zeroed) !== header.readUInt32BE(value)) return "version 2 with a wrong checksum";
  }
  return undefined;
}

/** CRC-32C (Castagnoli, RFC 3385); zlib has only the other CRC-32. */
const crcTable = new Uint32Array(256).map((_, octet) => {
  let crc = octet;
  // The polynomial 0x1EDC6F41 with its bits reversed.
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** @returns an unsigned 32-bit number */
export function crc32c(octets: Uint8Array): number {
  let crc = 0xffffffff;
  for (const octet of octets) crc = (crcTable[(crc ^ octet) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
