/** Takes extensions out of an EHLO reply, exactly their lines and nothing else. Pure. */
import { keywordOf } from "../../../shared/smtp/reply-reader.ts";

const DASH = 0x2d;
const SPACE = 0x20;

/**
 * @param reply     a whole EHLO reply as the server sent it
 * @param keywords  in upper case
 * @returns the reply itself when it offers none of them
 */
export function hideExtensions(reply: Buffer, keywords: ReadonlySet<string>): Buffer {
  const lines: Buffer[] = [];
  let isChanged = false;
  for (let at = 0; at < reply.length; ) {
    const lineFeed = reply.indexOf(0x0a, at);
    const end = lineFeed < 0 ? reply.length : lineFeed + 1;
    const line = reply.subarray(at, end);
    // The first line is the server's greeting, whatever it says (RFC 5321 §4.1.1.1).
    if (at > 0 && keywords.has(keywordOf(line.toString("latin1")))) isChanged = true;
    else lines.push(line);
    at = end;
  }
  if (!isChanged) return reply;
  const shown = Buffer.concat(lines);
  // RFC 5321 §4.2.1: the last line has a space behind its code, and a hidden line may have been the last.
  const last = shown.length - (lines.at(-1)?.length ?? 0);
  if (shown[last + 3] === DASH) shown[last + 3] = SPACE;
  return shown;
}
