/** A filter for a listening socket that is about to close, so that no client meets its end. Owns nothing. */
import type net from "node:net";
import { descriptorOf, libc } from "./libc.ts";

/** asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

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
