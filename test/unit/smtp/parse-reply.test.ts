import assert from "node:assert/strict";
import { test } from "node:test";
import { parseReply } from "../../../shared/smtp/parse-reply.ts";
import { ReplyReader } from "../../../shared/smtp/reply-reader.ts";
import type { SmtpCommandName } from "../../../shared/smtp/status.ts";

function parse(wire: string, command: SmtpCommandName = "RCPT") {
  const read = new ReplyReader().read(Buffer.from(wire), 0);
  assert.ok(read !== undefined, "a whole reply");
  return parseReply(read.reply, command);
}

const cases: [string, string, SmtpCommandName, object][] = [
  ["a code and a text", "250 ok\r\n", "MAIL", { code: 250, lines: ["ok"] }],
  ["a code alone (RFC 5321 §4.2: clients take it)", "250\r\n", "MAIL", { code: 250, lines: [""] }],
  ["a bare LF", "250 ok\n", "MAIL", { code: 250, lines: ["ok"] }],
  [
    "an enhanced status (RFC 2034 §4)",
    "550 5.1.1 no such user\r\n",
    "RCPT",
    { code: 550, enhanced: "5.1.1", lines: ["no such user"] },
  ],
  ["a status without a text", "250 2.1.5\r\n", "RCPT", { code: 250, enhanced: "2.1.5", lines: [""] }],
  [
    "a status that every line repeats",
    "550-5.7.1 go\r\n550-5.7.1 away\r\n550 5.7.1 now\r\n",
    "RCPT",
    { code: 550, enhanced: "5.7.1", lines: ["go", "away", "now"] },
  ],
  [
    "a status in the first line only",
    "550-5.7.1 go\r\n550 away\r\n",
    "RCPT",
    { code: 550, enhanced: "5.7.1", lines: ["go", "away"] },
  ],
  ["leading zeros", "550 5.01.001 x\r\n", "RCPT", { code: 550, enhanced: "5.1.1", lines: ["x"] }],
  [
    "a status of another class is text (RFC 2034 §4)",
    "550 4.2.1 later\r\n",
    "RCPT",
    { code: 550, lines: ["4.2.1 later"] },
  ],
  ["an IP address is no status", "554 5.6.7.8 is bad\r\n", "RCPT", { code: 554, lines: ["5.6.7.8 is bad"] }],
  [
    "EHLO's first line is a name (RFC 2034 §3)",
    "250-2.1.0 host\r\n250 SIZE\r\n",
    "EHLO",
    { code: 250, lines: ["2.1.0 host", "SIZE"] },
  ],
  [
    "a greeting that refuses may have one",
    "554 5.7.1 blocked\r\n",
    "CONNECT",
    { code: 554, enhanced: "5.7.1", lines: ["blocked"] },
  ],
  [
    "control characters become spaces",
    "550 5.1.1 a\tb\x00c\x1b[31m\u0085\r\n",
    "RCPT",
    { code: 550, enhanced: "5.1.1", lines: ["a b c [31m"] },
  ],
  [
    "UTF-8 text",
    "550 5.1.1 gibt's nicht: jörg\r\n",
    "RCPT",
    { code: 550, enhanced: "5.1.1", lines: ["gibt's nicht: jörg"] },
  ],
];

for (const [name, wire, command, expected] of cases) {
  test(`a reply is read: ${name}`, () => {
    assert.deepEqual(parse(wire, command), { ...expected, command });
  });
}

test("text that is no SMTP reply is recognised as such", () => {
  assert.equal(parse("SSH-2.0-OpenSSH_9.2\r\n"), undefined);
  assert.equal(parse("150 too low\r\n"), undefined);
  assert.equal(parse("\r\n"), undefined);
});

test("of an endless reply a bounded part is kept", () => {
  const reply = parse(`${"550-5.1.1 again and again\r\n".repeat(1000)}550 5.1.1 end\r\n`);
  assert.equal(reply?.lines.length, 50);
  assert.equal(parse(`550 ${"x".repeat(5000)}\r\n`)?.lines[0]?.length, 1000);
  const long = parse(`${`550-${"x".repeat(800)}\r\n`.repeat(40)}550 end\r\n`);
  assert.deepEqual(
    long?.lines.map(({ length }) => length),
    [800, 800, 400],
  );
});
