/** Reads the header section of a stored message, as received and of bounded size. */
import type { Readable } from "node:stream";
import type { Body } from "../../../shared/spool/spool.ts";

/** Longer header sections are cut. */
const maxHeaderBytes = 64 * 1024;

/** @returns the fields with their line ends, without the empty line; octets that are not UTF-8 become U+FFFD */
export async function readHeaderSection(body: Body): Promise<string> {
  const start =
    body.kind === "buffer" ? body.bytes.subarray(0, maxHeaderBytes) : await firstOctets(body.open());
  return headerSection(start).toString("utf8");
}

/** RFC 5322 §2.1: the header section ends at the first empty line. @param start  the first octets of the message */
export function headerSection(start: Buffer): Buffer {
  // A message that begins with an empty line has no header fields.
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
