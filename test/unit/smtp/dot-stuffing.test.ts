import assert from "node:assert/strict";
import { test } from "node:test";
import { DotStuffer } from "../../../shared/smtp/dot-stuffing.ts";

function stuff(...pieces: string[]): string {
  const stuffer = new DotStuffer();
  return (
    pieces.map((piece) => stuffer.stuff(Buffer.from(piece, "latin1")).toString("latin1")).join("") +
    stuffer.end()
  );
}

for (const [name, body, wire] of [
  ["lines without dots go out as they are", "a\r\nb\r\n", "a\r\nb\r\n.\r\n"],
  ["a dot within a line too", "a.b\r\n", "a.b\r\n.\r\n"],
  ["a dot at the very beginning is doubled", ".a\r\n", "..a\r\n.\r\n"],
  ["a dot at the beginning of a line is doubled", "a\r\n.b\r\n..c\r\n", "a\r\n..b\r\n...c\r\n.\r\n"],
  ["a lone dot is no end of data", "a\r\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n.\r\n"],
  ["the CRLF that is missing at the end is added", "a", "a\r\n.\r\n"],
  ["a final CR alone is no line end", "a\r", "a\r\r\n.\r\n"],
  ["a final LF alone is no line end", "a\n", "a\n\r\n.\r\n"],
  ["an empty message is only the end", "", ".\r\n"],
  ["a dot after a bare LF cannot end the data (SMTP smuggling)", "a\n.\r\nMAIL", "a\n..\r\nMAIL\r\n.\r\n"],
  ["8-bit octets pass", "\xff\xfe\r\n.\x80", "\xff\xfe\r\n..\x80\r\n.\r\n"],
] as const) {
  test(`dot-stuffing (RFC 5321 §4.5.2): ${name}`, () => {
    assert.equal(stuff(body), wire);
    for (let cut = 0; cut <= body.length; cut++) {
      assert.equal(stuff(body.slice(0, cut), body.slice(cut)), wire, `cut at ${cut}`);
    }
    assert.equal(stuff(...body), wire, "octet by octet");
  });
}

test("a body that needs no stuffing is not copied", () => {
  const body = Buffer.from("Subject: x\r\n\r\nHello. No dots at line starts.\r\n");
  assert.equal(new DotStuffer().stuff(body), body);
});
