/**
 * What a line of the client must look like while a policy is in force, so that every server reads it as we do, whatever
 * ends its lines, splits them, or lengthens its list of commands. Pure.
 */
import type { Command } from "../../../shared/smtp/command-line.ts";
import type { WholeReply } from "../../../shared/smtp/reply-reader.ts";
import { replies } from "./proxy-replies.ts";

/** RFC 4954 §4: the longest AUTH command or response, with its line end. */
export const maxAuthOctets = 12_288;
/**
 * RFC 5321 §4.5.3.1.4 gives a command 512 octets, ORCPT (RFC 3461 §5.4) and AUTH= (RFC 4954 §5) give 500 each. Postfix reads
 * 2,048 of a line; Exim 4.96 takes what stands behind octet 16,385 for the next command.
 */
export const maxOtherOctets = 2048;
/** RFC 3030 §2 has no limit, but Exim 4.96 counts modulo 2^32, and others in a signed integer. */
export const maxChunkOctets = 2 ** 31 - 1;

/** RFC 3030 §2 to the letter. A server that does not read the size as we do takes the chunk for commands. */
const strictBdat = /^BDAT (?:0|[1-9][0-9]*)(?: LAST)?$/i;
/** RFC 4954 §4: base64, or a `*` that cancels. */
const strictAuthResponse = /^(?:[A-Za-z0-9+/]*={0,2}|\*)$/;

const LF = 0x0a;
const CR = 0x0d;

/** What the server's last reply to EHLO offers. */
export interface Offers {
  chunking: boolean;
  startTls: boolean;
}

/** @returns the reply that refuses a command which some server may read otherwise than we do */
export function refusalOfUnclear(
  command: Command,
  line: Buffer,
  isWhole: boolean,
  offers: Offers,
): WholeReply | undefined {
  if (!isWhole || line.length > (command.kind === "auth" ? maxAuthOctets : maxOtherOctets))
    return replies.lineTooLong;
  const text = withoutLineEnd(line);
  // Some servers skip white space before a verb, others do not. A control character may end a line, or be dropped.
  if (!isPlain(text)) return replies.notOneLine;
  switch (command.kind) {
    case "unknown":
      return command.verb === "BDAT" ? replies.badChunk : replies.unknownCommand;
    case "turn":
      return replies.notAvailable;
    case "hello":
      // RFC 2033 §4.2: a message has one reply for each recipient after it.
      return command.verb === "LHLO" ? replies.notAvailable : undefined;
    case "starttls":
      return offers.startTls ? undefined : replies.startTlsNotOffered;
    case "bdat":
      // A server without CHUNKING reads the chunk as commands, which would pass unseen.
      if (!offers.chunking) return replies.chunkingNotOffered;
      return strictBdat.test(text.toString("latin1")) && command.octets <= maxChunkOctets
        ? undefined
        : replies.badChunk;
    default:
      return undefined;
  }
}

/** @returns the reply in place of an AUTH exchange that is cancelled, since its response may be read otherwise elsewhere */
export function refusalOfAuthResponse(line: Buffer, isWhole: boolean): WholeReply | undefined {
  if (!isWhole || line.length > maxAuthOctets) return replies.lineTooLong;
  return strictAuthResponse.test(withoutLineEnd(line).toString("latin1"))
    ? undefined
    : replies.badAuthResponse;
}

/** Servers that insist on CRLF would not see the end of a line that ends in LF alone. @param line  ends in LF */
export function endedByCrlf(line: Buffer): Buffer {
  if (line[line.length - 2] === CR) return line;
  return Buffer.concat([line.subarray(0, -1), Buffer.from("\r\n")]);
}

function withoutLineEnd(line: Buffer): Buffer {
  let end = line.length;
  if (line[end - 1] === LF) end--;
  if (line[end - 1] === CR) end--;
  return line.subarray(0, end);
}

function isPlain(text: Buffer): boolean {
  if (text[0] === 0x20 || text[0] === 0x09) return false;
  for (const octet of text) if ((octet < 0x20 && octet !== 0x09) || octet === 0x7f) return false;
  return true;
}
