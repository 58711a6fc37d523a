/** Makes valid and invalid PROXY headers for tests. */
import ipaddr from "ipaddr.js";
import { crc32c } from "../../services/ingress/listener/proxy-header.ts";
import type { Endpoint } from "../../shared/net/endpoint.ts";

/** @param client  and destination of one family */
export function proxyV1(client: Endpoint, destination: Endpoint): string {
  const family = client.address.includes(":") ? "TCP6" : "TCP4";
  return `PROXY ${family} ${client.address} ${destination.address} ${client.port} ${destination.port}\r\n`;
}

interface V2 {
  version?: number;
  command?: number;
  /** Absent: the family of the addresses. */
  family?: number;
  client?: Endpoint;
  destination?: Endpoint;
  /** Replaces the addresses. */
  body?: Buffer;
  extensions?: Buffer[];
  checksum?: "right" | "wrong";
}

export function proxyV2(header: V2): Buffer {
  const { version = 2, command = 1, client, destination, extensions = [] } = header;
  const isIpv6 = client?.address.includes(":") === true;
  const family = header.family ?? (isIpv6 ? 0x21 : 0x11);
  const body = header.body ?? (client && destination ? addresses(client, destination) : Buffer.alloc(0));
  const checksum = header.checksum === undefined ? Buffer.alloc(0) : extension(0x03, "\0\0\0\0");
  const rest = Buffer.concat([body, ...extensions, checksum]);
  const start = Buffer.from([version * 16 + command, family, rest.length >> 8, rest.length & 255]);
  const octets = Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n"), start, rest]);
  if (header.checksum !== undefined) {
    octets.writeUInt32BE((crc32c(octets) + (header.checksum === "wrong" ? 1 : 0)) >>> 0, octets.length - 4);
  }
  return octets;
}

/** @param value  latin1 */
export function extension(type: number, value: string): Buffer {
  const octets = Buffer.from(value, "latin1");
  return Buffer.concat([Buffer.from([type, octets.length >> 8, octets.length & 255]), octets]);
}

function addresses(client: Endpoint, destination: Endpoint): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(client.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  return Buffer.concat([octetsOf(client.address), octetsOf(destination.address), ports]);
}

function octetsOf(address: string): Buffer {
  return Buffer.from(ipaddr.parse(address).toByteArray());
}
