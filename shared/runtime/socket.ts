/**
 * Socket calls of Linux that Node does not offer: transparent sockets (IP_TRANSPARENT), and the original destination of a
 * redirected connection, listening sockets that are bound before a process gives its privileges up, and what is left of
 * these. Each descriptor belongs to the net.Server or net.Socket that it is handed to. No call blocks.
 */
import { closeSync } from "node:fs";
import net from "node:net";
import { endianness } from "node:os";
import ipaddr from "ipaddr.js";
import koffi from "koffi";
import type { Endpoint } from "../net/endpoint.ts";

/** asm-generic/socket.h, linux/in.h, linux/in6.h, linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h. */
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_ATTACH_FILTER = 26;
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

/** The kernel or the privileges of this process do not allow it; the message is one sentence for the operator. */
export class SocketNotPermitted extends Error {
  override name = "SocketNotPermitted";
}

/** struct sock_filter and sock_fprog of linux/filter.h. */
interface SocketFilter {
  len: number;
  filter: { code: number; jt: number; jf: number; k: number }[];
}

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: number[], length: number): number;
  attachFilter(fd: number, level: number, option: number, filter: SocketFilter, length: number): number;
  getsockopt(fd: number, level: number, option: number, value: Buffer, length: number[]): number;
  bind(fd: number, address: Buffer, length: number): number;
  getsockname(fd: number, address: Buffer, length: number[]): number;
  prctl(option: number, a: number, b: number, c: number, d: number): number;
  capset(header: Buffer, data: Buffer): number;
}

let loaded: Libc | undefined;

/** Loaded at the first use: a gateway without interception never needs it. */
function libc(): Libc {
  if (loaded !== undefined) return loaded;
  if (process.platform !== "linux") {
    throw new SocketNotPermitted(
      `transparent sockets and redirected connections need Linux, and this is ${process.platform}`,
    );
  }
  // The second is the name of musl, where there is no glibc.
  const library = loadFirst(["libc.so.6", "libc.so"]);
  const instruction = koffi.struct({ code: "uint16", jt: "uint8", jf: "uint8", k: "uint32" });
  const filter = koffi.struct({ len: "uint16", filter: koffi.pointer(instruction) });
  loaded = {
    socket: library.func("int socket(int, int, int)"),
    setsockopt: library.func("int setsockopt(int, int, int, const int*, uint)"),
    attachFilter: library.func("setsockopt", "int", ["int", "int", "int", koffi.pointer(filter), "uint"]),
    getsockopt: library.func("int getsockopt(int, int, int, _Out_ uint8_t*, _Inout_ uint*)"),
    bind: library.func("int bind(int, const uint8_t*, uint)"),
    getsockname: library.func("int getsockname(int, _Out_ uint8_t*, _Inout_ uint*)"),
    prctl: library.func("int prctl(int, ulong, ulong, ulong, ulong)"),
    capset: library.func("int capset(uint8_t*, const uint8_t*)"),
  };
  return loaded;
}

function loadFirst(names: string[]): ReturnType<typeof koffi.load> {
  for (const name of names) {
    try {
      return koffi.load(name);
    } catch {
      // Try the next one.
    }
  }
  throw new SocketNotPermitted(
    `transparent sockets and redirected connections need a C library, and none of ${names.join(", ")} is here`,
  );
}

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

/** linux/prctl.h, linux/capability.h. */
const PR_SET_KEEPCAPS = 8;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_LOWER = 3;
const CAP_NET_ADMIN = 12;
const CAPABILITY_VERSION_3 = 0x20080522;

/** Lets the next change of the user leave this thread its capabilities; keepNetAdminAlone() has to follow. */
export function keepCapabilities(): void {
  if (libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) !== 0) throw new Error(`prctl: errno ${koffi.errno()}`);
}

/**
 * Gives up all capabilities of this thread but CAP_NET_ADMIN, with which transparent sockets are made. JavaScript runs in
 * this thread alone; the others of the process have lost theirs with the user.
 */
export function keepNetAdminAlone(): void {
  const header = Buffer.alloc(8);
  const data = Buffer.alloc(24);
  // struct __user_cap_header_struct, and two of __user_cap_data_struct: effective, permitted, inheritable.
  const write = (buffer: Buffer, value: number, offset: number) =>
    endianness() === "LE" ? buffer.writeUInt32LE(value, offset) : buffer.writeUInt32BE(value, offset);
  write(header, CAPABILITY_VERSION_3, 0);
  for (const offset of [0, 4, 8]) write(data, 1 << CAP_NET_ADMIN, offset);
  if (libc().capset(header, data) !== 0) throw new Error(`capset: errno ${koffi.errno()}`);
}

/** Programs that `start` starts have CAP_NET_ADMIN, if this thread has. */
export function withNetAdmin<T>(start: () => T): T {
  const { prctl } = libc();
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0);
  try {
    return start();
  } finally {
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_NET_ADMIN, 0, 0);
  }
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

/** linux/filter.h, for the TCP header: a SYN without ACK is ignored, everything else passes. */
const withoutNewHandshakes = [
  { code: 0x30, jt: 0, jf: 0, k: 13 }, // the octet of the flags
  { code: 0x54, jt: 0, jf: 0, k: 0x12 }, // SYN and ACK
  { code: 0x15, jt: 0, jf: 1, k: 0x02 }, // SYN alone?
  { code: 0x06, jt: 0, jf: 0, k: 0 },
  { code: 0x06, jt: 0, jf: 0, k: 0xffffffff },
];

/**
 * From now on this listening socket does not answer clients that begin to connect; handshakes that it has begun to answer
 * end. A client's SYN is repeated after a second, and reaches whatever listens on the port by then.
 * @returns whether that can be had here
 */
export function ignoreNewHandshakes(server: net.Server): boolean {
  const fd = descriptorOf(server);
  if (fd === undefined || process.platform !== "linux") return false;
  try {
    const { attachFilter } = libc();
    const program = { len: withoutNewHandshakes.length, filter: withoutNewHandshakes };
    return attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16) === 0;
  } catch {
    // Without a C library there are no filters.
    return false;
  }
}

function descriptorOf(owner: net.Socket | net.Server): number | undefined {
  const fd = (owner as unknown as { _handle?: { fd?: number } })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
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
  const errno = failed ? koffi.errno() : 0;
  closeSync(fd);
  // ENOENT or ENOTCONN: the option exists, but this socket has no connection. ENOPROTOOPT: the module is not loaded.
  if (errno !== ENOPROTOOPT) return undefined;
  return "this kernel tracks no connections yet (nf_conntrack), as it does once a redirect rule is there";
}

function open(address: string, prepare: (fd: number, family: number) => void): number {
  const family = net.isIPv6(address) ? AF_INET6 : AF_INET;
  const fd = libc().socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`socket: errno ${koffi.errno()}`);
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
  const errno = koffi.errno();
  if (errno === EPERM || errno === EACCES) {
    throw new SocketNotPermitted(
      "transparent sockets need the capability CAP_NET_ADMIN, which this process does not have",
    );
  }
  throw new SocketNotPermitted(
    `this kernel has no transparent sockets (setsockopt IP_TRANSPARENT: errno ${errno})`,
  );
}

function set(fd: number, level: number, option: number, value: number): void {
  if (libc().setsockopt(fd, level, option, [value], 4) !== 0) {
    throw new Error(`setsockopt ${level}/${option}: errno ${koffi.errno()}`);
  }
}

function bindTo(fd: number, address: string, port: number): void {
  const bytes = socketAddress(address, port);
  if (libc().bind(fd, bytes, bytes.length) === 0) return;
  const errno = koffi.errno();
  const known: Record<number, string> = { 13: "EACCES", 98: "EADDRINUSE", 99: "EADDRNOTAVAIL" };
  throw Object.assign(new Error(`bind ${address} port ${port}: ${known[errno] ?? `errno ${errno}`}`), {
    code: known[errno],
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
