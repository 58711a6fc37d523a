/** Every reply that the outgoing proxy gives itself; all others are the remote server's. */
import { makeReply, type Reply } from "../../../shared/smtp/reply.ts";
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";

/** As it would have come from a server. */
function asReceived(reply: Reply): WholeReply {
  return { code: reply.code, octets: Buffer.from(reply.wire), isCut: false };
}

export const replies = {
  /** RFC 4954 §6. */
  authRequired: asReceived(makeReply(530, "5.7.0", "Authentication required")),
  startTlsStripped: asReceived(makeReply(502, "5.5.1", "STARTTLS is not available here")),
  notAvailable: asReceived(makeReply(502, "5.5.1", "The command is not available here")),
  unknownCommand: asReceived(makeReply(500, "5.5.2", "Command not recognized")),
  startTlsNotOffered: asReceived(makeReply(503, "5.5.1", "STARTTLS was not offered")),
  chunkingNotOffered: asReceived(makeReply(503, "5.5.1", "CHUNKING was not offered")),
  badChunk: asReceived(makeReply(501, "5.5.4", "BDAT has no size that can be passed on")),
  /** RFC 4954 §4. */
  badAuthResponse: asReceived(makeReply(501, "5.5.2", "The response is not base64, AUTH is cancelled")),
  lineTooLong: asReceived(makeReply(500, "5.5.2", "The line is too long")),
  notOneLine: asReceived(
    makeReply(500, "5.5.2", "A command has white space or control characters out of place"),
  ),
  /** As Postfix 3.9 replies. */
  unclearEndOfData: asReceived(
    makeReply(550, "5.5.2", "A message has a dot between bare CR, bare LF or NUL"),
  ),
  /** RFC 5321 §3.8. */
  outOfStep: asReceived(makeReply(421, "4.7.0", "The session cannot be followed any further, closing")),
  tooManyConnections: asReceived(
    makeReply(421, "4.7.0", "Too many connections from your address, try again later"),
  ),
  processFull: asReceived(makeReply(421, "4.3.2", "Too many connections, try again later")),
  tooManyMessages: asReceived(
    makeReply(450, "4.7.1", "Too many messages from your address, try again later"),
  ),
  serverUnreachable: asReceived(makeReply(421, "4.4.1", "The server cannot be reached, try again later")),
  serverLost: asReceived(makeReply(421, "4.4.1", "The server went away, try again later")),
  closing: asReceived(makeReply(421, "4.3.2", "Service is shutting down")),
} as const;
