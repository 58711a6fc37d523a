/** Makes the message of a notification: multipart/report (RFC 6522) of text, status and what is returned of the original. Pure. */
import { isAscii } from "../../shared/mail/address.ts";
import { rfc5322Date } from "../../shared/mail/date.ts";
import { deliveryStatus, needsGlobalStatus } from "./delivery-status.ts";
import { type Dsn, type DsnOriginal, needsSmtpUtf8 } from "./dsn.ts";
import { dsnSubject, dsnText } from "./dsn-text.ts";
import { field, longestLine, maxLine, oneLine, type Part, phrase, renderPart, unstructured } from "./mime.ts";
import { fieldValue } from "./original.ts";

export interface BuiltDsn {
  /** The whole message with CRLF line ends. */
  bytes: Buffer;
  messageId: string;
  /** RFC 6152: to be sent with BODY=8BITMIME. */
  has8bit: boolean;
  /** RFC 6531: an address in its header fields needs SMTPUTF8. */
  smtputf8: boolean;
}

export function buildDsn(dsn: Dsn): BuiltDsn {
  const text = dsnText(dsn);
  const statusType = needsGlobalStatus(dsn) ? "global-delivery-status" : "delivery-status";
  const parts: Part[] = [
    {
      type: `text/plain; charset=${isAscii(text) ? "us-ascii" : "utf-8"}`,
      description: "Notification",
      content: Buffer.from(text),
    },
    {
      type: `message/${statusType}`,
      description: "Delivery report",
      content: Buffer.from(deliveryStatus(dsn)),
    },
  ];
  const returned = returnedPart(dsn.original);
  if (returned !== undefined) parts.push(returned);
  const smtputf8 = needsSmtpUtf8(dsn);
  const rendered = parts.map((part) => renderPart(part, smtputf8));

  const { boundary } = dsn;
  const partHas8bit = rendered.some((part) => part.has8bit);
  const header = headerFields(dsn, statusType, boundary, partHas8bit);
  const pieces: Buffer[] = [Buffer.from(`${header}\r\nThis is a report in MIME format.\r\n`)];
  for (const { bytes } of rendered) pieces.push(Buffer.from(`\r\n--${boundary}\r\n`), bytes);
  pieces.push(Buffer.from(`\r\n--${boundary}--\r\n`));
  return {
    bytes: Buffer.concat(pieces),
    messageId: messageIdOf(dsn),
    has8bit: partHas8bit || smtputf8,
    smtputf8,
  };
}

function headerFields(dsn: Dsn, statusType: string, boundary: string, has8bit: boolean): string {
  const originalId = /^<[!-;=?-~]{1,900}>$/.exec(fieldValue(dsn.original.header, "message-id") ?? "")?.[0];
  return [
    field("Date", rfc5322Date(dsn.madeAtMs)),
    field("From", phrase(dsn.from.name), `<${oneLine(dsn.from.address)}>`),
    field("To", "", `<${oneLine(dsn.to)}>`),
    field("Subject", unstructured(dsnSubject(dsn))),
    field("Message-ID", messageIdOf(dsn)),
    // RFC 3834 §3.1.5: with these, mail programs show the notification beside its message.
    originalId === undefined ? "" : field("In-Reply-To", originalId) + field("References", originalId),
    // RFC 3834 §5: keeps vacation programs from answering.
    field("Auto-Submitted", "auto-replied"),
    dsn.tlsOptional === true ? field("TLS-Required", "No") : "",
    field("MIME-Version", "1.0"),
    field("Content-Type", `multipart/report; report-type=${statusType}; boundary="${boundary}"`),
    has8bit ? field("Content-Transfer-Encoding", "8bit") : "",
  ].join("");
}

function messageIdOf(dsn: Dsn): string {
  return `<${dsn.id}@${dsn.hostname}>`;
}

/** RFC 6522 §3, third part: the whole message where it was asked for and can be carried, else its header section. */
function returnedPart(original: DsnOriginal): Part | undefined {
  if (!original.attach) return undefined;
  const { full } = original;
  const header = withCrlf(original.header);
  // RFC 6533 §6: header fields in UTF-8 make it message/global.
  const international = original.smtputf8 && !header.every((octet) => octet < 128);
  if (full !== undefined && isCarriable(full)) {
    const type = international ? "message/global" : "message/rfc822";
    return { type, description: "Your message", content: full };
  }
  if (header.length === 0) return undefined;
  const type = international && isCarriable(header) ? "message/global-headers" : "text/rfc822-headers";
  return { type, description: "Header of your message", content: header };
}

/** RFC 2045 §2.8: 8bit data has no NUL, no bare CR or LF, no line above 998 octets; servers refuse or mangle anything else. */
function isCarriable(message: Buffer): boolean {
  return (
    !message.includes(0) && longestLine(message) <= maxLine && !bareNewline.test(message.toString("latin1"))
  );
}

const bareNewline = /\r(?!\n)|(?<!\r)\n/;

/** RFC 5322 §2.3: line ends that a lenient listener let through are corrected. */
function withCrlf(header: Buffer): Buffer {
  const text = header.toString("latin1");
  return bareNewline.test(text) ? Buffer.from(text.replace(/\r\n|\r|\n/g, "\r\n"), "latin1") : header;
}
