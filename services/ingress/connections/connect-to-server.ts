/** Connects to the server that a client chose: the only place that does. The caller owns the socket, and closes it. */
import net from "node:net";
import type { OwnConnections } from "../../../shared/limits/own-connections.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { type Endpoint, formatEndpoint } from "../../../shared/net/endpoint.ts";
import { canonicalAddress } from "../../../shared/net/network.ts";
import { transparentSocket } from "../../../shared/runtime/socket.ts";

export interface ConnectOptions {
  timeoutMs: number;
  /** The address to connect from, ours or not: with `hide` the client's own. Needs CAP_NET_ADMIN. Absent: the system's choice. */
  source?: string;
}

export type Connected =
  /** Half-open is allowed, nothing has been read, and the socket has an error listener. */
  { kind: "connected"; socket: net.Socket } | { kind: "unreachable"; reason: string };

/** Notices a server that vanished without a FIN after this and some probes, long before `timeouts.tunnel`. */
const keepAliveMs = 60_000;

export type ConnectToServer = (server: Endpoint, options: ConnectOptions) => Promise<Connected>;

/** Never rejects. What the server sends at once waits in the socket until it is read. */
export const connectToServer: ConnectToServer = (server, { timeoutMs, source }) =>
  new Promise((resolve) => {
    let socket: net.Socket;
    try {
      // An address cannot be the source towards the other family: then the system chooses.
      const isTransparent = source !== undefined && net.isIPv6(source) === net.isIPv6(server.address);
      socket = isTransparent ? transparentSocket(source) : new net.Socket();
    } catch (error) {
      resolve({ kind: "unreachable", reason: (error as Error).message });
      return;
    }
    socket.allowHalfOpen = true;
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    const fail = (reason: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ kind: "unreachable", reason });
    };
    // Stays for good: an error after a time-out, or before the next owner listens, must have a listener.
    socket.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve({ kind: "connected", socket });
    });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    socket.connect({ host: server.address, port: server.port });
  });

/** What connects to the servers of clients. */
export interface ServerAccess {
  connectToServer: ConnectToServer;
  /** Where a connection to a server is known while it is open, so that it is not opened again when it comes back. */
  ownConnections: OwnConnections;
}

export interface ConnectForClientOptions extends ServerAccess {
  timeoutMs: number;
  /** The server is to see the client's own address. */
  hide: boolean;
  isStopping(): boolean;
}

export type ConnectedForClient =
  | Connected
  /** The client's connection is one of our own, which has come back. */
  | { kind: "loop"; reason: string };

/**
 * Connects to the server that a client chose. Never rejects.
 * @returns the server's socket, unless the client has gone meanwhile or the service stops; else the reason for the log
 */
export async function connectForClient(
  client: net.Socket,
  { client: from, destination }: ClientConnection,
  { connectToServer, timeoutMs, hide, ownConnections, isStopping }: ConnectForClientOptions,
): Promise<ConnectedForClient> {
  if (await ownConnections.has({ from, to: destination })) {
    const server = formatEndpoint(destination);
    const reason = `the gateway's own connection to ${server} has come back: that address leads here, and belongs into own_addresses`;
    return { kind: "loop", reason };
  }
  const connected = await connectToServer(destination, {
    timeoutMs,
    ...(hide ? { source: from.address } : {}),
  });
  if (connected.kind === "unreachable") {
    return { kind: "unreachable", reason: `the server cannot be reached: ${connected.reason}` };
  }
  // The client itself may choose the port of a hidden one, and is no loop then: limits.clients ends such loops.
  if (!hide) remember(connected.socket, destination, ownConnections);
  if (!isStopping() && !client.destroyed) return connected;
  connected.socket.destroy();
  return { kind: "unreachable", reason: isStopping() ? "stopping" : "the client did not wait" };
}

function remember(socket: net.Socket, to: Endpoint, ownConnections: OwnConnections): void {
  const { localAddress = "", localPort = 0 } = socket;
  const from = { address: canonicalAddress(localAddress) ?? localAddress, port: localPort };
  socket.once("close", ownConnections.add({ from, to }));
}
