/** The calls of the C library that Node does not offer. Owns nothing: descriptors are the caller's. */
import type net from "node:net";
import koffi from "koffi";

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
export function libc(): Libc {
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

/** Of the last call that failed. */
export function errno(): number {
  return koffi.errno();
}

/** @returns undefined once it is closed */
export function descriptorOf(owner: net.Socket | net.Server): number | undefined {
  const fd = (owner as unknown as { _handle?: { fd?: number } })._handle?.fd;
  return fd === undefined || fd < 0 ? undefined : fd;
}
