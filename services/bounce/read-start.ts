/** Reads the beginning of a message's body. It closes the stream that it opens. */
import type { Body } from "../../shared/spool/spool.ts";

/** @returns the first `maxBytes` octets, or all of a shorter body */
export async function readStart(body: Body, maxBytes: number): Promise<Buffer> {
  if (body.kind === "buffer") return body.bytes.subarray(0, maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  // Leaving the loop destroys the stream.
  for await (const chunk of body.open()) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= maxBytes) break;
  }
  return Buffer.concat(chunks).subarray(0, maxBytes);
}
