/** Who makes a change, for the log and for the timeline of a message. Pure. */
import type { FastifyRequest } from "fastify";

export interface Actor {
  /** The name of the token. */
  by: string;
  /** The address that the request came from. */
  client: string;
}

/** @param request  with a token, as every change has one */
export function actorOf(request: FastifyRequest): Actor {
  return { by: request.caller.name ?? request.ip, client: request.ip };
}
