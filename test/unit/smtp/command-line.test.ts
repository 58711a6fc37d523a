import assert from "node:assert/strict";
import { test } from "node:test";
import { CommandLineReader, maxCommandOctets, parseCommandLine } from "../../../shared/smtp/command-line.ts";

const parse = (line: string) => parseCommandLine(Buffer.from(line));

test("command lines are parsed", () => {
  assert.deepEqual(parse("EHLO client.test\r\n"), { kind: "hello", verb: "EHLO", name: "client.test" });
  assert.deepEqual(parse("mail from:<a@b.c> SIZE=1\r\n"), {
    kind: "mail",
    verb: "MAIL",
    reversePath: "a@b.c",
  });
  assert.deepEqual(parse("MAIL FROM: <>\r\n"), { kind: "mail", verb: "MAIL", reversePath: "" });
  assert.deepEqual(parse("SOML FROM:<a@b>\n"), { kind: "mail", verb: "SOML", reversePath: "a@b" });
  assert.deepEqual(parse("MAIL FROM:a@b\r\n"), { kind: "mail", verb: "MAIL", reversePath: "a@b" });
  assert.deepEqual(parse('RCPT TO:<"a>b\\"c"@d>\r\n'), {
    kind: "rcpt",
    verb: "RCPT",
    forwardPath: '"a>b\\"c"@d',
  });
  assert.deepEqual(parse("RCPT TO:<@x,@y:a@b>"), { kind: "rcpt", verb: "RCPT", forwardPath: "@x,@y:a@b" });
  assert.deepEqual(parse("RCPT TO:<grå@ø.test>"), { kind: "rcpt", verb: "RCPT", forwardPath: "grå@ø.test" });
  assert.deepEqual(parse("BDAT 86 LAST\r\n"), { kind: "bdat", verb: "BDAT", octets: 86, last: true });
  assert.deepEqual(parse("bdat 0\r\n"), { kind: "bdat", verb: "BDAT", octets: 0, last: false });
  assert.deepEqual(parse("BURL imap://x LAST\r\n"), { kind: "burl", verb: "BURL", last: true });
  assert.equal(parse("X-EXPS GSSAPI\r\n").kind, "auth");
  assert.equal(parse("ATRN a.test\r\n").kind, "turn");
  assert.equal(parse("vrfy x\r\n").kind, "plain");
});

test("a BDAT without a readable length is an unknown command", () => {
  for (const line of [
    "BDAT",
    "BDAT x",
    "BDAT -1",
    "BDAT 1 FIRST",
    "BDAT 1 LAST x",
    "BDAT 1e3",
    `BDAT ${"9".repeat(16)}`,
  ]) {
    assert.deepEqual(parse(`${line}\r\n`), { kind: "unknown", verb: "BDAT" }, line);
  }
});

test("blanks and bare CR before a verb do not hide it", () => {
  for (const line of [" MAIL FROM:<a>", "\tMAIL FROM:<a>", "\rMAIL FROM:<a>", " \r MAIL\tFROM:<a>"]) {
    assert.equal(parse(line).kind, "mail", JSON.stringify(line));
  }
});

test("every line is some command", () => {
  for (const line of ["", "\r\n", "\n", "\0\0", "\xff\xfe\r\n", "DATAX", "DATA\0", "x".repeat(50_000)]) {
    assert.doesNotThrow(() => parse(line), JSON.stringify(line.slice(0, 20)));
  }
  assert.deepEqual(parse("\r\n"), { kind: "unknown", verb: "" });
  assert.equal(parse("DATAX\r\n").kind, "unknown");
});

test("lines are read whole, wherever the stream is cut", () => {
  const stream = Buffer.from("EHLO a\r\nNOOP\nQUIT\r\n");
  for (let i = 0; i <= stream.length; i++) {
    const reader = new CommandLineReader();
    const lines: string[] = [];
    for (const chunk of [stream.subarray(0, i), stream.subarray(i)]) {
      for (let at = 0; at < chunk.length; ) {
        const taken = reader.readLine(chunk, at);
        if (taken === undefined) break;
        lines.push(taken.line.toString());
        at = taken.next;
      }
    }
    assert.deepEqual(lines, ["EHLO a\r\n", "NOOP\n", "QUIT\r\n"], `cut at ${i}`);
    assert.equal(reader.isInLine, false);
  }
});

test("the beginning of an unfinished line is kept, up to a limit", () => {
  const reader = new CommandLineReader();
  assert.equal(reader.readLine(Buffer.from("NOOP "), 0), undefined);
  assert.equal(reader.isInLine, true);
  const taken = reader.readLine(Buffer.alloc(maxCommandOctets, "x"), 0);
  assert.equal(taken?.ended, false);
  assert.equal(taken?.line.length, maxCommandOctets + 5);
  assert.equal(reader.isInLine, false);
});
