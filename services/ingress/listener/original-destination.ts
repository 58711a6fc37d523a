/**
 * The client's address and the destination that it meant, by the listener's `destination`. Does not own the sockets; it
 * reads one only for a PROXY header, and unshifts what follows that.
 */
import type net from "node:net";
import type { ListenerConfig } from "../../../shared/config/schema.ts";
import type { Endpoint } from "../../../shared/net/endpoint.ts";
import { canonicalAddress, type Network } from "../../../shared/net/network.ts";
import { originalDestination } from "../../../shared/runtime/socket.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import { parseProxyHeader } from "./proxy-header.ts";

/** What is known of a connection before it is classified. */
export type LearnedConnection =
  | {
      kind: "known";
      client: Endpoint;
      destination: Endpoint;
      /** The PROXY header said LOCAL or UNKNOWN. */
      withoutDestination: boolean;
      /** The proxy that the connection came through. */
      proxy?: Endpoint;
    }
  | { kind: "refused"; cause: RefusalCause; reason: string };

export type RefusalCause = "untrusted-proxy" | "malformed-header" | "header-timeout" | "closed-early";

/** Is called once for each connection. The socket is paused; it is paused again when `done` is called, which happens once. */
export type DestinationOf = (socket: net.Socket, done: (learned: LearnedConnection) => void) => void;

/** A proxy has its header ready when it connects. */
const headerDeadlineMs = 10_000;

export function destinationOf(
  listener: Pick<ListenerConfig, "destination" | "trusted_proxies">,
): DestinationOf {
  switch (listener.destination) {
    case "self":
    // With tproxy the kernel gives the socket the address that the client meant.
    case "tproxy":
      return (socket, done) => done(known(socket, localEndpoint(socket)));
    case "redirect":
      return (socket, done) => done(known(socket, originalDestination(socket) ?? localEndpoint(socket)));
    case "proxy":
      return (socket, done) => readHeader(socket, listener.trusted_proxies, headerDeadlineMs, done);
    default:
      return unreachable(listener.destination);
  }
}

function known(socket: net.Socket, destination: Endpoint): LearnedConnection {
  return { kind: "known", client: remoteEndpoint(socket), destination, withoutDestination: false };
}

/** Reads a PROXY header from a peer that may send one. Exported for its tests, which do not wait ten seconds. */
export function readHeader(
  socket: net.Socket,
  trusted: readonly Network[],
  deadlineMs: number,
  done: (learned: LearnedConnection) => void,
): void {
  const peer = remoteEndpoint(socket);
  if (!trusted.some((network) => network.contains(peer.address))) {
    done({ kind: "refused", cause: "untrusted-proxy", reason: "not one of trusted_proxies" });
    return;
  }
  let received: Buffer | undefined;
  const finish = (learned: LearnedConnection) => {
    clearTimeout(timer);
    socket.off("data", read).off("end", gone).off("close", gone);
    socket.pause();
    done(learned);
  };
  const read = (chunk: Buffer) => {
    received = received === undefined ? chunk : Buffer.concat([received, chunk]);
    const result = parseProxyHeader(received);
    switch (result.kind) {
      case "incomplete":
        return;
      case "malformed":
        return finish({ kind: "refused", cause: "malformed-header", reason: result.reason });
      case "header": {
        socket.pause();
        // The client may have sent octets already: these are for the handler of the socket.
        if (received.length > result.length) socket.unshift(received.subarray(result.length));
        if (result.header.kind === "local") {
          const destination = localEndpoint(socket);
          return finish({ kind: "known", client: peer, destination, withoutDestination: true });
        }
        const { client, destination } = result.header;
        return finish({ kind: "known", client, destination, withoutDestination: false, proxy: peer });
      }
      default:
        return unreachable(result);
    }
  };
  const gone = () =>
    finish({ kind: "refused", cause: "closed-early", reason: "closed before the header was whole" });
  const timer = setTimeout(
    () => finish({ kind: "refused", cause: "header-timeout", reason: `no header in ${deadlineMs / 1000} s` }),
    deadlineMs,
  );
  socket.on("data", read).once("end", gone).once("close", gone);
  socket.resume();
}

function remoteEndpoint(socket: net.Socket): Endpoint {
  return endpoint(socket.remoteAddress, socket.remotePort);
}

function localEndpoint(socket: net.Socket): Endpoint {
  return endpoint(socket.localAddress, socket.localPort);
}

/** IPv4-mapped IPv6 as IPv4. A link-local address comes with a zone, which means nothing on another machine. */
function endpoint(address = "", port = 0): Endpoint {
  const zone = address.indexOf("%");
  const bare = zone < 0 ? address : address.slice(0, zone);
  return { address: canonicalAddress(bare) ?? bare, port };
}
