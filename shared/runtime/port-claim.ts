/**
 * Keeps the ports of a gateway to its own processes. These share a port by SO_REUSEPORT, and so would another gateway or
 * any program of the same user, without a word: each would get some of the mail.
 *
 * Each process holds one abstract UNIX socket for each port, whose name has the gateway in it. The kernel shows these names
 * in /proc/net/unix, keeps them apart by network namespace as it does ports, and removes them with the process. A port that
 * no process of this gateway has must be free: it is bound once without SO_REUSEPORT.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { ListenerConfig } from "../config/schema.ts";

/** Held while this process listens. */
export interface PortClaims {
  close(): void;
}

/** How long another process may take to find its ports free and to listen on them. */
const patienceMs = 5_000;
const pollMs = 20;

let claims = 0;

/**
 * Claims the ports, calls `listen`, and leaves no moment in between to another gateway.
 * @param data  the directory of the spool: processes with the same one are of one gateway
 * @param listen  starts all listeners; returns the ports that they are bound to
 * @throws what `onTaken` makes of a listener whose port is another program's, and what `listen` throws
 */
export async function claimPorts(
  listeners: readonly ListenerConfig[],
  data: string,
  onTaken: (listener: ListenerConfig) => Error,
  listen: () => Promise<number[]>,
): Promise<PortClaims> {
  // Elsewhere a port is never shared.
  if (process.platform !== "linux") {
    await listen();
    return { close() {} };
  }
  const lock = await lockPorts();
  const held: net.Server[] = [];
  const close = () => {
    for (const server of held) server.close();
  };
  try {
    const prefix = `postern-port-${gatewayId(data)}-`;
    const names = readFileSync("/proc/net/unix", "latin1");
    for (const listener of listeners) {
      const isOurs = names.includes(`@${prefix}${listener.port}-`);
      if (listener.port !== 0 && !isOurs && (await isTaken(listener))) throw onTaken(listener);
    }
    for (const port of await listen()) {
      held.push(await holdName(`${prefix}${port}-${process.pid}-${++claims}`));
    }
    return { close };
  } catch (error) {
    close();
    throw error;
  } finally {
    lock?.close();
  }
}

/** @returns `undefined` when another process does not give it up: whatever it is, it must not keep mail from flowing */
async function lockPorts(): Promise<net.Server | undefined> {
  for (const untilMs = performance.now() + patienceMs; performance.now() < untilMs; ) {
    try {
      return await holdName("postern-ports");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      await wait(pollMs);
    }
  }
  return undefined;
}

/** @throws Error with the code EADDRINUSE while another process holds the name */
function holdName(name: string): Promise<net.Server> {
  const server = net.createServer((socket) => socket.destroy()).unref();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path: `\0${name}` }, () => resolve(server));
  });
}

/** Any other obstacle shows when the listener listens. */
function isTaken({ address, port }: { address: string; port: number }): Promise<boolean> {
  const server = net.createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code === "EADDRINUSE"));
    server.listen({ host: address, port }, () => server.close(() => resolve(false)));
  });
}

/** By device and inode, since one directory has several paths. */
function gatewayId(data: string): string {
  let identity = path.resolve(data);
  try {
    const { dev, ino } = statSync(data, { bigint: true });
    identity = `${dev} ${ino}`;
  } catch {
    // It is not there yet.
  }
  return createHash("sha256").update(identity).digest("hex").slice(0, 16);
}
