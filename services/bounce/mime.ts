/** Header fields and encodings of notifications (RFC 5322, 2045, 2047): no text of others can break out of its field or part. Pure. */
import { encodeWord } from "nodemailer/lib/mime-funcs";
import { encode as encodeQuotedPrintable, wrap } from "nodemailer/lib/qp";
import { isAscii } from "../../shared/mail/address.ts";

/** RFC 5322 §2.1.1: lines should have 78 characters at most, and must have 998 octets at most. */
const wantedLine = 76;
export const maxLine = 998;

/** Makes one line of any text: control characters and Unicode line ends become spaces, lone surrogates are replaced. */
export function oneLine(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .trim();
}

/** As oneLine, for fields that take ASCII only: other characters become `?`. */
export function oneAsciiLine(text: string): string {
  return oneLine(text).replace(/[^ -~]/gu, "?");
}

/**
 * A header field with its CRLF, folded at spaces (RFC 5322 §2.2.3), and within words only where no line could hold them.
 * Runs of spaces become one, so that no line is of spaces alone (§3.2.2).
 * @param text   without line ends, as oneLine gives it
 * @param whole  text after it that is not folded at its spaces: an address
 */
export function field(name: string, text: string, whole = ""): string {
  const mostOctets = maxLine - `${name}: `.length;
  const [first = "", ...tokens] = [...text.split(" "), whole]
    .filter((token) => token !== "")
    .flatMap((token) => cutToken(token, mostOctets));
  const lines: string[] = [];
  // The first token stays on the line of the name: some parsers take an empty first line for an empty field.
  let line = `${name}: ${first}`;
  for (const token of tokens) {
    if (line.length + 1 + token.length > wantedLine) {
      lines.push(line);
      line = "";
    }
    line += ` ${token}`;
  }
  lines.push(line);
  return `${lines.join("\r\n")}\r\n`;
}

function cutToken(token: string, mostOctets: number): string[] {
  const pieces: string[] = [];
  let rest = token;
  while (Buffer.byteLength(rest) > mostOctets) {
    const piece = clipOctets(rest, mostOctets);
    pieces.push(piece);
    rest = rest.slice(piece.length);
  }
  return [...pieces, rest];
}

/** The beginning of a text, whole characters of it, in at most so many octets of UTF-8. */
export function clipOctets(text: string, most: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(most));
  return text.slice(0, read);
}

/** Free text of a Subject or a display name: as it is when ASCII, else in encoded words (RFC 2047 §2: 75 characters each). */
export function unstructured(text: string): string {
  return isAscii(text) ? text : encodeWord(text, "B", wantedLine - 14);
}

/** A display name before an address (RFC 5322 §3.4): atoms, a quoted string, or encoded words. */
export function phrase(text: string): string {
  const name = oneLine(text);
  if (!isAscii(name)) return encodeWord(name, "B", wantedLine - 14);
  if (/^[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*$/.test(name)) return name;
  return `"${name.replace(/["\\]/g, "\\$&")}"`;
}

const encodedWord = /=\?([^?*\s]{1,40})(?:\*[^?\s]*)?\?([BbQq])\?([^?\s]*)\?=/;
const encodedWords = new RegExp(`${encodedWord.source}(?:\\s+(?==\\?))?`, "g");

/** A field's text for people: encoded words (RFC 2047) decoded where their charset is known, all in one line. */
export function readable(value: string): string {
  return oneLine(
    value.replace(encodedWords, (whole, charset: string, encoding: string, text: string) => {
      const bytes =
        encoding.toUpperCase() === "B"
          ? Buffer.from(text, "base64")
          : Buffer.from(
              text
                .replaceAll("_", " ")
                .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) =>
                  String.fromCharCode(Number.parseInt(hex, 16)),
                ),
              "latin1",
            );
      try {
        return new TextDecoder(charset).decode(bytes);
      } catch {
        // The charset is unknown: the reader sees the text as it was sent.
        return whole;
      }
    }),
  );
}

export interface Part {
  /** The Content-Type with its parameters. */
  type: string;
  description: string;
  content: Buffer;
}

/**
 * Text is quoted-printable where it is not plain ASCII. Messages stay as they are, as 8bit where necessary: for
 * message/rfc822 RFC 2046 §5.2.1 allows nothing else. RFC 6533 §6 wants the same for its types, and quoted-printable
 * where the servers on the way back are not known to carry 8 bits.
 * @param smtputf8  the notification goes to servers with SMTPUTF8 only
 * @returns the part with its header, without boundary lines
 */
export function renderPart(part: Part, smtputf8: boolean): { bytes: Buffer; has8bit: boolean } {
  const is7bit = fitsIn7bit(part.content);
  const mayEncode = part.type.startsWith("text/") || (part.type.startsWith("message/global") && !smtputf8);
  const encoded = !is7bit && mayEncode;
  const has8bit = !is7bit && !encoded;
  const transferEncoding = is7bit ? "7bit" : encoded ? "quoted-printable" : "8bit";
  const header =
    field("Content-Description", part.description) +
    field("Content-Type", part.type) +
    field("Content-Transfer-Encoding", transferEncoding);
  const content = encoded
    ? Buffer.from(wrap(encodeQuotedPrintable(part.content), wantedLine), "latin1")
    : part.content;
  return { bytes: Buffer.concat([Buffer.from(`${header}\r\n`), content]), has8bit };
}

/** RFC 2045 §2.7: ASCII without NUL, lines of at most 998 octets. */
function fitsIn7bit(bytes: Buffer): boolean {
  return bytes.every((octet) => octet > 0 && octet < 128) && longestLine(bytes) <= maxLine;
}

/** Octets of the longest line, without its line end. */
export function longestLine(bytes: Buffer): number {
  let longest = 0;
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    longest = Math.max(longest, end - start - 1);
    start = end + 1;
  }
  return Math.max(longest, bytes.length - start);
}
