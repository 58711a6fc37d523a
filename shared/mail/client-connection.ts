/** The facts of one client connection that routing decides by; plain data, it travels with the message. */
import type { Endpoint } from "../net/endpoint.ts";

/** Whose server the client meant. */
export type Direction = "incoming" | "outgoing" | "local";

export interface ClientConnection {
  /** Short and unique enough to follow one session in the log. */
  id: string;
  /** The listener's name. */
  listener: string;
  client: Endpoint;
  /** Where the client meant to connect: from the kernel, the PROXY header, or the gateway's own address. */
  destination: Endpoint;
  direction: Direction;
}
