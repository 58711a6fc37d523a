/** Reads a delivery status notification as its recipient does (pure): RFC 3464. */
import { crc32 } from "node:zlib";
import type { Action, Report } from "../history/events.ts";

/** Whom a notification is about; empty when the message is none. */
export function readReport(message: string): Report["about"] {
  if (!/^Content-Type: multipart\/report/im.test(message)) return [];
  const about: Report["about"] = [];
  const [, status = ""] =
    /^Content-Type: message\/(?:global-)?delivery-status[\s\S]*?\r\n\r\n([\s\S]*?)\r\n--/im.exec(message) ??
    [];
  for (const group of status.split("\r\n\r\n")) {
    const address = /^Final-Recipient:\s*[\w-]+;\s*(\S+)/im.exec(group)?.[1];
    const action = /^Action:\s*(\w+)/im.exec(group)?.[1] as Action | undefined;
    if (address === undefined || action === undefined) continue;
    about.push({ address, action, status: /^Status:\s*(\S+)/im.exec(group)?.[1] ?? "" });
  }
  return about;
}

export function messageIdOf(message: string): string {
  return /^Message-ID:\s*(<\S+>)/im.exec(message)?.[1] ?? "";
}

const checkedField = "X-Octets";

/** A header field by which the receiver sees whether the body arrived as it was sent. */
export function checkField(body: string): string {
  return `${checkedField}: ${crc32(body).toString(16)}`;
}

/** False when the body is not what the field of the sender says. */
export function isIntact(data: Buffer): boolean {
  const split = data.indexOf("\r\n\r\n");
  const expected = /^X-Octets: (\w+)/im.exec(data.toString("latin1", 0, split))?.[1];
  return expected === undefined || crc32(data.subarray(split + 4)).toString(16) === expected;
}
