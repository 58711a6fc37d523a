import assert from "node:assert/strict";
import { test } from "node:test";
import { DataScanner } from "../../../../services/ingress/message/data-scanner.ts";

interface Scanned {
  /** The body of a message with bare newlines is never used, nor compared. */
  body: string;
  /** The octets behind the end; `undefined` when the end did not come. */
  rest: string | undefined;
  bareNewline: boolean;
  nul: boolean;
  eightBit: boolean;
}

/** @param pieces  what each push() gets */
function scan(pieces: string[], normalise: boolean): Scanned {
  const scanner = new DataScanner(normalise);
  let body = "";
  for (const [index, piece] of pieces.entries()) {
    const end = scanner.push(Buffer.from(piece, "latin1"));
    body += scanner.body.toString("latin1");
    if (end >= 0) {
      const rest = piece.slice(end) + pieces.slice(index + 1).join("");
      return scanned(body, rest, scanner);
    }
  }
  return scanned(body, undefined, scanner);
}

function scanned(body: string, rest: string | undefined, scanner: DataScanner): Scanned {
  const { bareNewline, nul, eightBit } = scanner;
  return { body: bareNewline ? "" : body, rest, bareNewline, nul, eightBit };
}

/** The same whole, in two pieces cut anywhere, and octet by octet. */
function everyCut(data: string, normalise: boolean): Scanned {
  const whole = scan([data], normalise);
  for (let at = 0; at <= data.length; at++)
    assert.deepEqual(scan([data.slice(0, at), data.slice(at)], normalise), whole, `cut at ${at}`);
  assert.deepEqual(scan([...data], normalise), whole, "octet by octet");
  return whole;
}

const clean = { bareNewline: false, nul: false, eightBit: false };

for (const normalise of [false, true]) {
  const mode = normalise ? "normalising" : "refusing";

  test(`${mode}: the message ends at CRLF.CRLF, and its last CRLF belongs to it`, () => {
    assert.deepEqual(everyCut("Subject: a\r\n\r\nhello\r\n.\r\nQUIT\r\n", normalise), {
      body: "Subject: a\r\n\r\nhello\r\n",
      rest: "QUIT\r\n",
      ...clean,
    });
  });

  test(`${mode}: a dot at once is an empty message`, () => {
    assert.deepEqual(everyCut(".\r\n", normalise), { body: "", rest: "", ...clean });
  });

  test(`${mode}: dots that were stuffed are taken out, others stay`, () => {
    const stuffed = "..\r\n..a\r\n.b\r\nc.\r\n. .\r\n...\r\n\r\n..\r\n.\r\n";
    assert.deepEqual(everyCut(stuffed, normalise), {
      body: ".\r\n.a\r\nb\r\nc.\r\n .\r\n..\r\n\r\n.\r\n",
      rest: "",
      ...clean,
    });
  });

  test(`${mode}: octets above 127 are noticed and kept`, () => {
    assert.deepEqual(everyCut("gr\xfc\xdfe\r\n.\r\n", normalise), {
      body: "gr\xfc\xdfe\r\n",
      rest: "",
      ...clean,
      eightBit: true,
    });
  });

  test(`${mode}: NUL is noticed`, () => {
    assert.equal(everyCut("a\0b\r\n.\r\n", normalise).nul, true);
    assert.equal(everyCut("\0\r\n.\r\n", normalise).nul, true);
  });
}

/** Every pair of newlines that some server took for the end of the data (CVE-2023-51764 and its kin). */
const newlines = ["\n", "\r", "\r\r", "\n\r", "\r\n"];
const smuggled = "MAIL FROM:<admin@example.com>\r\n";

for (const before of newlines) {
  for (const after of newlines) {
    if (before === "\r\n" && after === "\r\n") continue;
    const name = JSON.stringify(`${before}.${after}`);

    test(`${name} does not end the data, and is refused`, () => {
      const scanned = everyCut(`first${before}.${after}${smuggled}\r\n.\r\nQUIT\r\n`, false);
      assert.equal(scanned.rest, "QUIT\r\n");
      assert.equal(scanned.bareNewline, true);
    });

    test(`${name} does not end the data when newlines are normalised`, () => {
      const scanned = everyCut(`first${before}.${after}${smuggled}\r\n.\r\nQUIT\r\n`, true);
      assert.equal(scanned.rest, "QUIT\r\n");
      assert.equal(scanned.bareNewline, false);
      assert.ok(scanned.body.includes(smuggled), "what was to be smuggled stays in the message");
      assert.doesNotMatch(scanned.body, /\r(?!\n)|(?<!\r)\n/, "no bare newline is left");
    });
  }
}

test("bare newlines anywhere are noticed", () => {
  for (const data of [
    "\n\r\n.\r\n",
    "\r\r\n.\r\n",
    "a\nb\r\n.\r\n",
    "a\rb\r\n.\r\n",
    ".\n\r\n.\r\n",
    ".\rx\r\n.\r\n",
  ])
    assert.equal(everyCut(data, false).bareNewline, true, JSON.stringify(data));
});

test("normalising makes one CRLF of each bare CR and each bare LF", () => {
  assert.equal(
    everyCut("a\nb\rc\r\nd\r\r\ne\n\nf\r\n.\r\n", true).body,
    "a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\nf\r\n",
  );
});

test("a dot behind a normalised newline is text", () => {
  assert.equal(everyCut("a\n..b\n.c\r\n..d\r\n.\r\n", true).body, "a\r\n..b\r\n.c\r\n.d\r\n");
});

test("clean data passes without a copy", () => {
  const chunk = Buffer.from("hello\r\nworld\r\n");
  const scanner = new DataScanner(false);
  assert.equal(scanner.push(chunk), -1);
  assert.equal(scanner.body, chunk);
});
