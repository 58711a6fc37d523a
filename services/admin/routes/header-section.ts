/** The header section of a stored message, for showing it: bounded, as received. */
import type { Readable } from "node:stream";
import type { Body } from "../../../shared/spool/spool.ts";

/** Header sections longer than this are cut; servers refuse them long before. */
const maxHeaderBytes = 64 * 1024;

/** @returns the fields with their line ends, without the empty line; octets that are not UTF-8 become U+FFFD */
export async function readHeaderSection(body: Body): Promise<string> {
  const start =
    body.kind === "buffer" ? body.bytes.subarray(0, maxHeaderBytes) : await firstOctets(body.open());
  return headerSection(start).toString("utf8");
}

/** RFC 5322 §2.1: up to the first empty line. @param start  the message's first octets */
export function headerSection(start: Buffer): Buffer {
  // Only an empty first line means that there are no fields.
  if (start.subarray(0, 2).equals(emptyLine.subarray(2))) return Buffer.alloc(0);
  const end = start.indexOf(emptyLine);
  return end < 0 ? start : start.subarray(0, end + 2);
}

const emptyLine = Buffer.from("\r\n\r\n");

async function firstOctets(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Leaving the loop destroys the stream, and that closes its file.
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= maxHeaderBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxHeaderBytes);
}
