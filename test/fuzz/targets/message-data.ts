import assert from "node:assert/strict";
import fc from "fast-check";
import { DataScanner } from "../../../services/ingress/message/data-scanner.ts";
import { EndOfData } from "../../../services/ingress/outgoing/end-of-data.ts";
import { UnclearEndOfData } from "../../../services/ingress/outgoing/unclear-end-of-data.ts";
import { HeaderScan } from "../../../shared/mail/headers.ts";
import { DotStuffer } from "../../../shared/smtp/dot-stuffing.ts";
import { headerSection } from "../../../shared/spool/header-section.ts";
import { mustBeOneLine, piecesOf, type Target } from "../engine/target.ts";

const target: Target = {
  about: "the octets behind DATA: the end, dots, bare newlines, and the header section",
  cost: 2,
  maxOctets: 65_536,
  check(input) {
    const strict = scan(piecesOf(input), false);
    const wanted = simply(input);
    // A message with a bare newline is refused: what it said does not matter then.
    if (wanted.bareNewline) strict.body = wanted.body;
    assert.deepEqual(strict, { ...wanted, eightBit: strict.eightBit, nul: strict.nul });
    if (!wanted.bareNewline) assert.deepEqual(strict, wanted);
    const lenient = scan(piecesOf(input), true);
    assert.deepEqual(lenient, scan([Buffer.from(input)], true));
    assert.ok(!/\r(?!\n|$)|(?<!\r)\n/.test(lenient.body), "a bare newline is left");
    assert.equal(lenient.end, simply(input).end);
    assert.equal(endOf(new EndOfData(), piecesOf(input)), strict.end);
    // The proxy stops in front of whatever some server takes for the end, and never behind the real one.
    const unclear = endOf(new UnclearEndOfData(), piecesOf(input));
    const lenientEnd = /(?:^|[\r\n])\.(?:\r(?!$)|\n)/.test(input.toString("latin1").replaceAll("\0", ""));
    if (unclear === -1) assert.ok(!lenientEnd, "a line of one dot passes");
    if (unclear !== "unclear") assert.equal(unclear, strict.end);
    // Sent on, it is the same message for the next server, whatever it is.
    const stuffer = new DotStuffer();
    const sent = Buffer.concat([
      ...piecesOf(input).map((piece) => Buffer.from(stuffer.stuff(piece))),
      Buffer.from(stuffer.end()),
    ]);
    const received = scan(piecesOf(sent), false);
    const isWhole = input.length === 0 || input.subarray(-2).equals(Buffer.from("\r\n"));
    assert.equal(received.end, sent.length);
    if (!/(?<!\r)\n\./.test(input.toString("latin1")))
      assert.equal(received.body, input.toString("latin1") + (isWhole ? "" : "\r\n"));
    checkHeader(input);
  },
  seeds: [
    "Received: a\r\nReceived : b\r\nMessage-ID:\r\n <x@y>\r\nTLS-Required: No\r\n\r\n..body\r\n.\r\nMAIL",
    "\r\n..\r\n.\r\n",
    ".\r\n",
    "a\n.\nb\r.\rc\0\r\n.\0\r\n.\r\n",
    "a\r\n.\rb\r\n.\n",
  ],
  words: [
    "\r\n.\r\n",
    "\n.\n",
    "\r.\r",
    ".",
    "..",
    "\r",
    "\n",
    "\0",
    "Received: x\r\n",
    "Message-ID: <",
    ">",
    "TLS-Required: No\r\n",
    "\r\n ",
    "\r\n\r\n",
  ],
  long: [
    ["", ".", ""],
    ["", ".\r\n", "\r\n.\r\n"],
    ["", "\r\n..", ""],
    ["", "\r", ""],
    ["Message-ID: <", "<", ""],
    ["Message-ID:", " \r\n", "x"],
    ["Received", " ", ":\r\n"],
    ["TLS-Required:", " ", "x\r\n"],
    ["", "Received: x\r\n", "\r\n"],
  ],
  properties: {
    "a message of CRLF lines arrives as it was sent, cut anywhere": fc.property(
      fc.array(fc.string({ unit: fc.constantFrom(".", "..", "a", "\x80", " ", "x.y") })),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (lines, cuts) => {
        const body = lines.map((line) => `${line}\r\n`).join("");
        const stuffer = new DotStuffer();
        const pieces: Buffer[] = [];
        for (let at = 0; at < body.length; ) {
          const [length] = [...cuts.take(1)];
          pieces.push(Buffer.from(stuffer.stuff(Buffer.from(body.slice(at, at + (length ?? 1)), "latin1"))));
          at += length ?? 1;
        }
        const sent = Buffer.concat([...pieces, Buffer.from(`${stuffer.end()}NEXT`)]);
        const { body: received, end } = scan(piecesOf(sent), false);
        assert.equal(received, body);
        assert.equal(sent.toString("latin1", end), "NEXT");
      },
    ),
  },
};
export default target;

function scan(pieces: readonly Buffer[], normalise: boolean) {
  const scanner = new DataScanner(normalise);
  let body = "";
  let before = 0;
  let end = -1;
  for (const piece of pieces) {
    const found = scanner.push(piece);
    body += scanner.body.toString("latin1");
    if (found >= 0) {
      end = before + found;
      break;
    }
    before += piece.length;
  }
  const { bareNewline, nul, eightBit } = scanner;
  return { body, end, bareNewline, nul, eightBit };
}

/** The strict scanner in a plain way, from the whole. */
function simply(input: Buffer) {
  const framed = `\r\n${input.toString("latin1")}`;
  const dot = framed.indexOf("\r\n.\r\n");
  const data = dot < 0 ? framed : framed.slice(0, dot + 2);
  let body = data.replaceAll("\r\n.", "\r\n").slice(2);
  // A CR behind a dot at the very end may still be part of the end.
  const isHeld = dot < 0 && framed.endsWith("\r\n.\r");
  if (isHeld) body = body.slice(0, -1);
  return {
    body,
    end: dot < 0 ? -1 : dot + 3,
    // A CR at the end of what has come so far is no fault yet.
    bareNewline: /\r(?!\n|$)|(?<!\r)\n/.test(data),
    nul: body.includes("\0"),
    eightBit: /[\x80-\xff]/.test(body),
  };
}

function endOf(finder: EndOfData | UnclearEndOfData, pieces: readonly Buffer[]): number | "unclear" {
  let before = 0;
  for (const piece of pieces) {
    const found = finder.find(piece, 0);
    if (found.kind === "unclear") return "unclear";
    if (found.kind === "end") return before + found.at;
    before += piece.length;
  }
  return -1;
}

function checkHeader(input: Buffer): void {
  const facts = (pieces: readonly Buffer[]) => {
    const scan = new HeaderScan();
    for (const piece of pieces) scan.push(piece);
    const { receivedFields, messageId, tlsOptional, open } = scan;
    return { receivedFields, messageId, tlsOptional, open };
  };
  const whole = facts([input]);
  // Beyond its limit the scan may stop a piece earlier or later.
  if (input.length < 200_000) assert.deepEqual(facts(piecesOf(input)), whole);
  if (whole.messageId !== undefined) mustBeOneLine(whole.messageId);
  const section = headerSection(input);
  assert.ok(input.subarray(0, section.length).equals(section) && !section.includes("\r\n\r\n"));
}
