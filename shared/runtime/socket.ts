/**
 * Socket calls of Linux that Node does not offer: transparent sockets (IP_TRANSPARENT), the original destination of a
 * redirected connection, and listening sockets that are bound before a process gives its privileges up. Each descriptor
 * belongs to the net.Server or net.Socket that it is handed to. No call blocks.
 */
import { closeSync } from "node:fs";
import net from "node:net";
import { endianness } from "node:os";
import ipaddr from "ipaddr.js";
import type { Endpoint } from "../net/endpoint.ts";
import { descriptorOf, errno, libc, SocketNotPermitted } from "./libc.ts";

/** asm-generic/socket.h, linux/in.h, linux/in6.h, linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h. */
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const IP_BIND_ADDRESS_NO_PORT = 24;
const SO_ORIGINAL_DST = 80;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;
const IP6T_SO_ORIGINAL_DST = 80;
const EPERM = 1;
const EACCES = 13;
const ENOPROTOOPT = 92;

/**
 * A bound socket that accepts connections to any destination (tproxy): accepted sockets have the client's original
 * destination as their `localAddress`. `::` takes IPv4 too. Several processes may bind the same port.
 * @returns a descriptor for `net.Server.listen({ fd })`
 * @throws SocketNotPermitted without CAP_NET_ADMIN
 * @throws Error when the address cannot be bound
 */
export function transparentListener(address: string, port: number): number {
  return open(address, (fd, family) => {
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (family === AF_INET6) set(fd, SOL_IPV6, IPV6_V6ONLY, address === "::" ? 0 : 1);
    makeTransparent(fd, family);
    bindTo(fd, address, port);
  });
}

/**
 * A bound socket, opened while the process may still open low ports, or for several processes to accept on. `::` takes
 * IPv4 too.
 * @param shared  other processes of the same user may bind the port
 * @returns a descriptor for `net.Server.listen({ fd })`
 * @throws Error with the code of the system when the address cannot be bound
 */
export function boundSocket(address: string, port: number, shared = false): number {
  return open(address, (fd, family) => {
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (family === AF_INET6) set(fd, SOL_IPV6, IPV6_V6ONLY, address === "::" ? 0 : 1);
    bindTo(fd, address, port);
  });
}

/**
 * What a descriptor is that another program has opened.
 * @returns undefined when it is no TCP socket
 */
export function describeSocket(fd: number): (Endpoint & { transparent: boolean }) | undefined {
  const bytes = Buffer.alloc(28);
  if (libc().getsockname(fd, bytes, [bytes.length]) !== 0) return undefined;
  const family = endianness() === "LE" ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const octets = family === AF_INET ? bytes.subarray(4, 8) : bytes.subarray(8, 24);
  const value = Buffer.alloc(4);
  const [level, option] = family === AF_INET6 ? [SOL_IPV6, IPV6_TRANSPARENT] : [SOL_IP, IP_TRANSPARENT];
  const asked = libc().getsockopt(fd, level, option, value, [4]) === 0;
  return {
    address: ipaddr.fromByteArray([...octets]).toString(),
    port: bytes.readUInt16BE(2),
    transparent: asked && value.some((octet) => octet !== 0),
  };
}

/**
 * A socket that connects from `source`, whether or not that is an address of this host, and from any free port.
 * Call connect() on it with a destination of the same family.
 * @throws SocketNotPermitted without CAP_NET_ADMIN
 */
export function transparentSocket(source: string): net.Socket {
  const fd = open(source, (opened, family) => {
    set(opened, SOL_SOCKET, SO_REUSEADDR, 1);
    makeTransparent(opened, family);
    // The kernel chooses the port at connect(), so that 64,000 connections to each destination are possible.
    set(opened, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    bindTo(opened, source, 0);
  });
  return new net.Socket({ fd });
}

/**
 * The destination that a connection had before a REDIRECT or DNAT rule changed it.
 * @returns undefined when no rule did: the client connected to this socket's own address
 */
export function originalDestination(socket: net.Socket): Endpoint | undefined {
  const fd = descriptorOf(socket);
  if (fd === undefined) return undefined;
  const local = socket.localAddress ?? "";
  const isIpv4 = net.isIPv4(local) || local.startsWith("::ffff:");
  const value = Buffer.alloc(28);
  const [level, option] = isIpv4 ? [SOL_IP, SO_ORIGINAL_DST] : [SOL_IPV6, IP6T_SO_ORIGINAL_DST];
  if (libc().getsockopt(fd, level, option, value, [isIpv4 ? 16 : 28]) !== 0) return undefined;
  const octets = isIpv4 ? value.subarray(4, 8) : value.subarray(8, 24);
  return { address: ipaddr.fromByteArray([...octets]).toString(), port: value.readUInt16BE(2) };
}

/**
 * Tries to make a transparent socket.
 * @returns undefined when this process may, else one sentence that says why not
 */
export function whyNotTransparent(): string | undefined {
  try {
    closeSync(open("0.0.0.0", makeTransparent));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * Tries to ask the kernel for the original destination of a redirected connection.
 * @returns undefined when it can answer, else one sentence that says why it cannot yet
 * @throws SocketNotPermitted when it never can: originalDestination() would throw too
 */
export function whyNoOriginalDestination(): string | undefined {
  const fd = open("0.0.0.0", () => {});
  const failed = libc().getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, Buffer.alloc(16), [16]) !== 0;
  const code = failed ? errno() : 0;
  closeSync(fd);
  // ENOENT or ENOTCONN: the option exists, but this socket has no connection. ENOPROTOOPT: the module is not loaded.
  if (code !== ENOPROTOOPT) return undefined;
  return "this kernel tracks no connections yet (nf_conntrack), as it does once a redirect rule is there";
}

function open(address: string, prepare: (fd: number, family: number) => void): number {
  const family = net.isIPv6(address) ? AF_INET6 : AF_INET;
  const fd = libc().socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`socket: errno ${errno()}`);
  try {
    prepare(fd, family);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function makeTransparent(fd: number, family: number): void {
  const [level, option] = family === AF_INET6 ? [SOL_IPV6, IPV6_TRANSPARENT] : [SOL_IP, IP_TRANSPARENT];
  if (libc().setsockopt(fd, level, option, [1], 4) === 0) return;
  const code = errno();
  if (code === EPERM || code === EACCES) {
    throw new SocketNotPermitted(
      "transparent sockets need the capability CAP_NET_ADMIN, which this process does not have",
    );
  }
  throw new SocketNotPermitted(
    `this kernel has no transparent sockets (setsockopt IP_TRANSPARENT: errno ${code})`,
  );
}

function set(fd: number, level: number, option: number, value: number): void {
  if (libc().setsockopt(fd, level, option, [value], 4) !== 0) {
    throw new Error(`setsockopt ${level}/${option}: errno ${errno()}`);
  }
}

function bindTo(fd: number, address: string, port: number): void {
  const bytes = socketAddress(address, port);
  if (libc().bind(fd, bytes, bytes.length) === 0) return;
  const code = errno();
  const known: Record<number, string> = { 13: "EACCES", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL" };
  throw Object.assign(new Error(`bind ${address} port ${port}: ${known[code] ?? `errno ${code}`}`), {
    code: known[code],
  });
}

/** struct sockaddr_in or sockaddr_in6: the family in host order, the port in network order. */
function socketAddress(address: string, port: number): Buffer {
  const octets = ipaddr.parse(address).toByteArray();
  const isIpv4 = octets.length === 4;
  const bytes = Buffer.alloc(isIpv4 ? 16 : 28);
  if (endianness() === "LE") bytes.writeUInt16LE(isIpv4 ? AF_INET : AF_INET6, 0);
  else bytes.writeUInt16BE(isIpv4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(octets, isIpv4 ? 4 : 8);
  return bytes;
}
