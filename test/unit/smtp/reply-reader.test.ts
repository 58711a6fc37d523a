import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ehloKeywords,
  maxKeptOctets,
  ReplyReader,
  replyText,
  type WholeReply,
} from "../../../shared/smtp/reply-reader.ts";

function readAll(reader: ReplyReader, chunks: Buffer[]): WholeReply[] {
  const replies: WholeReply[] = [];
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const read = reader.read(chunk, at);
      if (read === undefined) break;
      replies.push(read.reply);
      at = read.end;
    }
  }
  return replies;
}

test("replies of one and of many lines are read whole, wherever the stream is cut", () => {
  const texts = [
    "220 ready\r\n",
    "250-a\r\n250-b c\r\n250 d\r\n",
    "354\r\n",
    "550-5.1.1 no\n550 5.1.1 really\n",
    "250 \r\n",
  ];
  const stream = Buffer.from(texts.join(""));
  for (let i = 0; i <= stream.length; i++) {
    for (let j = i; j <= stream.length; j++) {
      const reader = new ReplyReader();
      const replies = readAll(reader, [stream.subarray(0, i), stream.subarray(i, j), stream.subarray(j)]);
      assert.deepEqual(
        replies.map((reply) => reply.octets.toString()),
        texts,
        `cut at ${i} and ${j}`,
      );
      assert.deepEqual(
        replies.map((reply) => reply.code),
        [220, 250, 354, 550, 250],
      );
      assert.ok(reader.isBetweenReplies);
    }
  }
});

test("a reply has not ended before its last line has", () => {
  const reader = new ReplyReader();
  assert.ok(reader.isBetweenReplies);
  for (const part of ["2", "50", "-a\r", "\n", "250", " b\r"]) {
    assert.equal(reader.read(Buffer.from(part), 0), undefined);
    assert.equal(reader.isBetweenReplies, false);
  }
  assert.equal(reader.read(Buffer.from("\n"), 0)?.reply.octets.toString(), "250-a\r\n250 b\r\n");
});

test("a line that is no reply ends at its LF and has no code", () => {
  for (const line of [
    "hello\r\n",
    "\r\n",
    "\n",
    "2\n",
    "25\n",
    "2x0 ok\n",
    "-250\n",
    "999 x\n",
    "199-x\n",
    "\xff\0\n",
  ]) {
    const read = new ReplyReader().read(Buffer.from(line, "latin1"), 0);
    assert.equal(read?.reply.code, 0, JSON.stringify(line));
  }
});

test("of an endless reply the beginning is kept, and its end is found", () => {
  const reader = new ReplyReader();
  const line = Buffer.from(`250-${"x".repeat(1000)}\r\n`);
  for (let i = 0; i < 1000; i++) assert.equal(reader.read(line, 0), undefined);
  const read = reader.read(Buffer.from("250 end\r\nrest"), 0);
  assert.equal(read?.reply.code, 250);
  assert.equal(read?.reply.isCut, true);
  assert.equal(read?.reply.octets.length, maxKeptOctets);
  assert.equal(read?.end, 9);
});

test("a log shows a reply on one line", () => {
  const text = (octets: string) => replyText({ code: 250, octets: Buffer.from(octets), isCut: false });
  assert.equal(text("250 2.0.0 queued\r\n"), "250 2.0.0 queued");
  assert.equal(
    text("550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n"),
    "550 5.1.1 no / 5.1.1 such / 5.1.1 user",
  );
  assert.equal(text("250\r\n"), "250");
  assert.equal(text(`250 ${"x".repeat(5000)}\r\n`).length, 512);
});

test("the keywords of an EHLO reply follow its first line", () => {
  const octets = Buffer.from("250-STARTTLS.example\r\n250-Size 1000\r\n250-AUTH=LOGIN\r\n250 chunking\r\n");
  assert.deepEqual(ehloKeywords({ code: 250, octets, isCut: false }), new Set(["SIZE", "AUTH", "CHUNKING"]));
});
