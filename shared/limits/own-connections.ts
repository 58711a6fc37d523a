/**
 * Connections that the gateway has opened to the servers of its clients. One that comes back to the gateway, by a balancer
 * or a route, is recognised by its two ends, before it is opened again and again. These are the ones of one process;
 * cluster-own-connections.ts knows those of all.
 */
import { type Endpoint, formatEndpoint } from "../net/endpoint.ts";

/** A connection as its two ends see it. */
export interface ConnectionEnds {
  from: Endpoint;
  to: Endpoint;
}

export interface OwnConnections {
  /** The gateway has connected. @returns what to call when the connection has closed */
  add(ends: ConnectionEnds): () => void;
  /** Whether a connection that was accepted is one that the gateway has opened. Never rejects. */
  has(ends: ConnectionEnds): boolean | Promise<boolean>;
}

export function createLocalOwnConnections(): OwnConnections & { has(ends: ConnectionEnds): boolean } {
  const open = new Set<string>();
  return {
    add(ends) {
      const name = nameOf(ends);
      open.add(name);
      return () => open.delete(name);
    },
    has: (ends) => open.has(nameOf(ends)),
  };
}

export function nameOf({ from, to }: ConnectionEnds): string {
  return `${formatEndpoint(from)} ${formatEndpoint(to)}`;
}
