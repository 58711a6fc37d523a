/** The beginning of a stored message and its header section, for showing or returning them. Closes the streams that it opens. */
import type { Body } from "./spool.ts";

/** @returns the first `maxBytes` octets, or all of a shorter body */
export async function readStart(body: Body, maxBytes: number): Promise<Buffer> {
  if (body.kind === "buffer") return body.bytes.subarray(0, maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  // Leaving the loop destroys the stream, and that closes its file.
  for await (const chunk of body.open()) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes);
}

/**
 * RFC 5322 §2.1: the header section ends before the first empty line.
 * @param start  the message's first octets
 * @returns the fields with their line ends, without the empty line
 */
export function headerSection(start: Buffer): Buffer {
  // An empty first line means that there are no fields.
  if (start.subarray(0, 2).equals(emptyLine)) return start.subarray(0, 0);
  const end = start.indexOf("\r\n\r\n");
  return end < 0 ? start : start.subarray(0, end + 2);
}

const emptyLine = Buffer.from("\r\n");
