/** The facts of one client connection that routing needs. Plain data: the spool stores it with each message. */
import type { Endpoint } from "../net/endpoint.ts";

/** Whose server the client connected to: a protected one, any other, or the gateway itself. */
export type Direction = "incoming" | "outgoing" | "local";

export interface ClientConnection {
  /** Short and unique enough to follow one session in the log. */
  id: string;
  /** The listener's name. */
  listener: string;
  client: Endpoint;
  /** The original destination: from the kernel, the PROXY header, or the gateway's own address. */
  destination: Endpoint;
  direction: Direction;
}
