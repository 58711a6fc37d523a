/** Compiles the shim, and controls the processes that run with it. Its files are the run's, in its directory. */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type FailingCall = "write" | "sync" | "read";
const calls: Record<FailingCall, number> = { write: 1, sync: 2, read: 3 };

export interface Shim {
  /** For the environment of each process. */
  env: NodeJS.ProcessEnv;
  /** Sets all clocks, in milliseconds from the real time. */
  setClock(offsetMs: number): void;
  /** @param often  of 1000 calls */
  failDisk(call: FailingCall, errno: "EIO" | "ENOSPC", often: number): void;
  healDisk(): void;
  close(): void;
}

/**
 * @param disk  files below this directory fail
 * @returns the reason in words when this machine cannot have it
 */
export function makeShim(directory: string, disk: string): Shim | string {
  if (process.platform !== "linux") return "the shim is for Linux";
  const source = fileURLToPath(new URL("shim.c", import.meta.url));
  const library = join(directory, "shim.so");
  try {
    execFileSync("cc", ["-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], { stdio: "pipe" });
  } catch (error) {
    return `cc cannot compile the shim: ${(error as Error).message.split("\n")[0]}`;
  }
  const control = join(directory, "control");
  writeFileSync(control, Buffer.alloc(4096));
  const fd = openSync(control, "r+");
  const write = (octets: Buffer, at: number): void => void writeSync(fd, octets, 0, octets.length, at);
  const int32 = (value: number, at: number): void => {
    const octets = Buffer.alloc(4);
    octets.writeInt32LE(value);
    write(octets, at);
  };
  return {
    env: { LD_PRELOAD: library, CHAOS_CONTROL: control, CHAOS_DISK: disk },
    setClock(offsetMs) {
      const octets = Buffer.alloc(8);
      octets.writeBigInt64LE(BigInt(offsetMs));
      write(octets, 0);
    },
    failDisk(call, errno, often) {
      int32(often, 16);
      int32(constants.errno[errno], 12);
      int32(calls[call], 8);
    },
    healDisk: () => int32(0, 8),
    close: () => closeSync(fd),
  };
}
