/** Connects to a server's address. The caller owns the socket, and closes it. */
import net from "node:net";
import { transparentSocket } from "../../runtime/socket.ts";
import { connectFault, type DisconnectReason, openingEnd, seconds } from "./disconnect-reason.ts";

/**
 * Node allocates 64 KiB for each read of a socket, and replies have some fifty octets: all plain connections share one
 * buffer, which the kernel fills and the callback copies from before any other read.
 */
const sharedBuffer = Buffer.allocUnsafeSlow(16 * 1024);

function plainSocket(): net.Socket {
  const socket: net.Socket = new net.Socket({
    onread: {
      buffer: sharedBuffer,
      callback(length, buffer) {
        socket.emit("data", Buffer.from(buffer.subarray(0, length)));
        return true;
      },
    },
  });
  return socket;
}

export interface DialAddress {
  address: string;
  port: number;
  /** An address of this host to connect from. */
  localAddress?: string | undefined;
  /** The client's address to connect from (`hide`): needs CAP_NET_ADMIN, and routes that bring the replies back. */
  transparentSource?: string | undefined;
}

/**
 * @param signal  aborted with a DisconnectReason
 * @returns the connected socket, or why there is none
 */
export function dial(
  deliveryAddress: DialAddress,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<net.Socket | DisconnectReason> {
  return new Promise((resolve) => {
    const { address, port, localAddress, transparentSource } = deliveryAddress;
    let socket: net.Socket;
    // A source address of the other family cannot be used: the system chooses one.
    const isHidden = transparentSource !== undefined && net.isIPv6(transparentSource) === net.isIPv6(address);
    try {
      socket = isHidden ? transparentSocket(transparentSource) : plainSocket();
    } catch (error) {
      resolve({ kind: "local", reason: (error as Error).message });
      return;
    }
    const fail = (disconnectReason: DisconnectReason) => {
      settle();
      socket.on("error", () => {});
      socket.destroy();
      resolve(disconnectReason);
    };
    const onTimeout = () => fail({ kind: "timeout", reason: `no connection within ${seconds(timeoutMs)}` });
    const timer = setTimeout(onTimeout, timeoutMs);
    const onError = (error: Error) => fail(connectFault(error));
    const onAbort = () => fail(openingEnd(signal));
    const settle = () => {
      clearTimeout(timer);
      socket.removeListener("error", onError);
      signal.removeEventListener("abort", onAbort);
    };
    socket.once("error", onError);
    signal.addEventListener("abort", onAbort);
    socket.once("connect", () => {
      settle();
      resolve(socket);
    });
    // Commands are written in whole batches: waiting for more (Nagle) would cost 40 ms against delayed ACKs.
    socket.setNoDelay(true);
    // A hidden socket has its address already.
    const source = isHidden || localAddress === undefined ? {} : { localAddress };
    socket.connect({ host: address, port, ...source });
  });
}
