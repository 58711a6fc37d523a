/** The capabilities of Linux that a process keeps when it gives up root, and hands to the programs that it starts. */
import { endianness } from "node:os";
import { errno, libc } from "./libc.ts";

/** linux/prctl.h, linux/capability.h. */
const PR_SET_KEEPCAPS = 8;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_LOWER = 3;
const CAP_NET_ADMIN = 12;
const CAPABILITY_VERSION_3 = 0x20080522;

/** Lets the next change of the user leave this thread its capabilities; keepNetAdminAlone() has to follow. */
export function keepCapabilities(): void {
  if (libc().prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) !== 0) throw new Error(`prctl: errno ${errno()}`);
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
  if (libc().capset(header, data) !== 0) throw new Error(`capset: errno ${errno()}`);
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
