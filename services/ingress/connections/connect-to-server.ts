/**
 * Opens the far leg of a connection that passes through: the only place that does.
 * Who gets the socket owns it, and closes it.
 */
import net from "node:net";
import type { Endpoint } from "../../../shared/net/endpoint.ts";
import { transparentSocket } from "../../../shared/runtime/socket.ts";

export interface ConnectOptions {
  timeoutMs: number;
  /** Come from this address, be it ours or not: the client's own (`hide`). Needs CAP_NET_ADMIN. Absent: the system's choice. */
  source?: string;
}

export type Connected =
  /** Half-open is allowed, nothing has been read, and it has an error listener. */
  { kind: "connected"; socket: net.Socket } | { kind: "unreachable"; reason: string };

/** A server that is gone without a word is noticed after this and some probes, long before `timeouts.tunnel`. */
const keepAliveMs = 60_000;

export type ConnectToServer = (server: Endpoint, options: ConnectOptions) => Promise<Connected>;

/** Never rejects. What the server sends at once waits in the socket until it is read. */
export const connectToServer: ConnectToServer = (server, { timeoutMs, source }) =>
  new Promise((resolve) => {
    let socket: net.Socket;
    try {
      // One address cannot stand for the other family's: then the system chooses.
      const isHidden = source !== undefined && net.isIPv6(source) === net.isIPv6(server.address);
      socket = isHidden ? transparentSocket(source) : new net.Socket();
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
    // Stays for good: after a time-out, and until the next owner listens, an error must find somebody.
    socket.on("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once("connect", () => {
      clearTimeout(timer);
      resolve({ kind: "connected", socket });
    });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    socket.connect({ host: server.address, port: server.port });
  });
