/**
 * What the kernel has queued for a listening socket. When one of several ingress processes on a port closes its socket, the
 * kernel resets the connections in that socket's queue, although another process listens (but for net.ipv4.tcp_migrate_req).
 * So it first gets no new ones: the client's SYN is repeated a second later, and another process answers.
 */
import type net from "node:net";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { isLoopback } from "../../../shared/net/network.ts";
import { ignoreNewHandshakes } from "../../../shared/runtime/handshake-filter.ts";

/** A handshake that the socket has begun to answer ends in that time, or the client is farther away than any. */
const handshakeMs = 300;
/** Connections that the kernel queues for a socket while we are busy; net.core.somaxconn, where that is less. */
export const backlog = 4096;

/**
 * Has a server accept the connections that are queued for it. Call close() on it in the same turn. The socket must be its
 * own: one that other processes accept on as well would be deaf for them too.
 */
export async function acceptQueuedConnections(server: net.Server): Promise<void> {
  const bound = server.address();
  if (bound === null || typeof bound === "string") return;
  const isDeaf = ignoreNewHandshakes(server);
  let accepted = 0;
  const count = (): void => {
    accepted++;
  };
  server.on("connection", count);
  if (isDeaf && !isLoopback(bound.address)) await delay(handshakeMs);
  // In each turn of the event loop a server accepts one connection at least, if there is one.
  for (let before = -1; accepted > before && accepted < backlog; ) {
    before = accepted;
    await turn();
  }
  server.off("connection", count);
}
