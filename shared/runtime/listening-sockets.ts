/**
 * The listening sockets that several processes accept on: opened once and handed to each of them, so that connections which
 * wait in a socket's queue outlive the process that would have taken them. Owns the sockets; they and the claims of their ports last until the process ends.
 */
import { closeSync } from "node:fs";
import type { ListenerConfig } from "../config/schema.ts";
import { canonicalAddress } from "../net/network.ts";
import { claimPorts } from "./port-claim.ts";
import { boundSocket, describeSocket, transparentListener } from "./socket.ts";
import { cannotListen } from "./start-failure.ts";

type Wanted = Pick<ListenerConfig, "name" | "address" | "port" | "destination">;

export interface ListeningSockets {
  /** For the workers. */
  readonly descriptors: readonly number[];
  /**
   * Opens what another list of listeners needs beside those that are open.
   * @throws CannotStart when one cannot be had; then nothing has changed
   */
  prepare(listeners: readonly ListenerConfig[]): Promise<PreparedSockets>;
}

export interface PreparedSockets {
  descriptors: readonly number[];
  /** Closes those that no listener has any more. */
  commit(): void;
  /** In place of commit(), where processes listen on some of the new ones and on some of those before. */
  keepAll(): void;
}

/** One open socket. */
export interface OpenSocket {
  fd: number;
  address: string;
  port: number;
  transparent: boolean;
  /** The listener that it was opened for; absent: others have opened it. */
  listener?: string;
}

/**
 * Which sockets listeners have, and which listeners need one. A socket is for the listener with its address and port, one on
 * a free port for the listener that it was opened for. Pure.
 */
export function shareSockets<T extends Wanted>(
  listeners: readonly T[],
  open: readonly OpenSocket[],
): { kept: OpenSocket[]; missing: T[] } {
  const kept: OpenSocket[] = [];
  const missing: T[] = [];
  for (const wanted of listeners) {
    const address = canonicalAddress(wanted.address);
    // A host name is resolved by each process, which then shares the port in the way of port-claim.ts.
    if (address === undefined) continue;
    const found = open.find(
      (socket) =>
        !kept.includes(socket) &&
        socket.address === address &&
        socket.transparent === (wanted.destination === "tproxy") &&
        (wanted.port === 0 ? socket.listener === wanted.name : socket.port === wanted.port),
    );
    if (found === undefined) missing.push(wanted);
    else kept.push(found);
  }
  return { kept, missing };
}

/**
 * @param given  descriptors that others have opened
 * @param data  the directory of the spool: see claimPorts()
 * @throws CannotStart
 */
export async function openListeningSockets(
  listeners: readonly ListenerConfig[],
  data: string,
  given: readonly number[] = [],
): Promise<ListeningSockets> {
  let open = given.flatMap((fd): OpenSocket[] => {
    const socket = describeSocket(fd);
    return socket === undefined ? [] : [{ fd, ...socket }];
  });
  // What is handed over is checked by the worker, which names what is nobody's.
  let descriptors: readonly number[] = given;
  const prepare = async (next: readonly ListenerConfig[]): Promise<PreparedSockets> => {
    const { kept, missing } = shareSockets(next, open);
    const opened = await openAll(missing, data);
    const all = [...kept, ...opened];
    return {
      descriptors: all.map(({ fd }) => fd),
      commit() {
        for (const socket of open) if (!kept.includes(socket)) closeSync(socket.fd);
        open = all;
        descriptors = all.map(({ fd }) => fd);
      },
      keepAll() {
        open = [...open, ...opened];
      },
    };
  };
  if (given.length === 0) (await prepare(listeners)).commit();
  else {
    const before = open;
    (await prepare(listeners)).keepAll();
    descriptors = [...given, ...open.filter((socket) => !before.includes(socket)).map(({ fd }) => fd)];
  }
  return {
    get descriptors() {
      return descriptors;
    },
    prepare,
  };
}

/** Their ports are claimed until the process ends. */
async function openAll(listeners: readonly ListenerConfig[], data: string): Promise<OpenSocket[]> {
  const opened: OpenSocket[] = [];
  if (listeners.length === 0) return opened;
  try {
    const onTaken = (listener: ListenerConfig) =>
      cannotListen(`listener ${listener.name}`, listener, { code: "EADDRINUSE" });
    await claimPorts(listeners, data, onTaken, async () =>
      listeners.map((listener) => {
        const socket = openOne(listener);
        opened.push(socket);
        return socket.port;
      }),
    );
    return opened;
  } catch (error) {
    for (const { fd } of opened) closeSync(fd);
    throw error;
  }
}

function openOne({ name, address, port, destination }: ListenerConfig): OpenSocket {
  try {
    const fd =
      destination === "tproxy" ? transparentListener(address, port) : boundSocket(address, port, true);
    const described = describeSocket(fd);
    if (described === undefined) throw new Error("the socket cannot be described");
    return { fd, ...described, listener: name };
  } catch (error) {
    throw cannotListen(`listener ${name}`, { address, port }, error as NodeJS.ErrnoException);
  }
}
