import assert from "node:assert/strict";
import fc from "fast-check";
import { deferRefusal, diagnoseReply } from "../../../shared/smtp/diagnose.ts";
import { diagnosisSchema, replySchema } from "../../../shared/smtp/diagnosis.ts";
import { parseExtensions } from "../../../shared/smtp/extensions.ts";
import { parseReply } from "../../../shared/smtp/parse-reply.ts";
import { makeReply } from "../../../shared/smtp/reply.ts";
import {
  ehloKeywords,
  maxKeptOctets,
  ReplyReader,
  replyText,
  type WholeReply,
} from "../../../shared/smtp/reply-reader.ts";
import type { EnhancedStatus } from "../../../shared/smtp/status.ts";
import { mustBeOneLine, piecesOf, type Target } from "../engine/target.ts";

const remote = { host: "mx.example.com", address: "192.0.2.1", port: 25 };
const commands = ["CONNECT", "EHLO", "HELO", "MAIL", "RCPT", "DATA", "DOT"] as const;

const target: Target = {
  about: "the replies of a server: of the next hop, and of the one behind the outgoing proxy",
  maxOctets: 131_072,
  check(input) {
    const whole = repliesIn([input]);
    assert.deepEqual(repliesIn(piecesOf(input)), whole);
    for (const reply of whole.slice(0, 50)) {
      assert.ok(reply.octets.length <= maxKeptOctets);
      assert.ok(!replyText(reply).includes("\n"));
      for (const keyword of ehloKeywords(reply)) assert.match(keyword, /^[^\s=]+$/);
      for (const command of commands) check(reply, command);
    }
  },
  seeds: [
    "220 mx.example.com ESMTP\r\n250-mx\r\n250-SIZE 1000\r\n250-AUTH=LOGIN PLAIN\r\n250 PIPELINING\r\n",
    "550-5.1.1 no such\r\n550 5.1.1 user\r\n",
    "451 4.7.1\n250 ok\n\n25\n250\n250-\n",
    "421 4.3.2 \xe2\x80\xa8 bye\r\n599 9.9.9 x\r\n550 5.1234.1 y\r\n",
  ],
  words: ["250-", "250 ", "550 5.1.1 ", "421", "SIZE ", "AUTH ", "\r\n", "\n", "4.0.0", "999", "000 "],
  long: [
    ["250-", "x", "\r\n250 x\r\n"],
    ["", "250-x\r\n", "250 y\r\n"],
    ["", "\n", ""],
    ["550 ", " ", "x\r\n"],
    ["550 5.1.1", " ", "\r\n"],
    ["250-x\r\n250-", " ", "\r\n250 y\r\n"],
    ["250-x\r\n250-AUTH", "= ", "\r\n250 y\r\n"],
  ],
  properties: {
    "a reply of ours is read as it was made": fc.property(
      fc.integer({ min: 400, max: 599 }),
      fc.integer({ min: 0, max: 999 }),
      fc.integer({ min: 0, max: 999 }),
      fc.string(),
      (code, subject, detail, text) => {
        const status = `${Math.floor(code / 100)}.${subject}.${detail}` as EnhancedStatus;
        const made = makeReply(code, status, text);
        const [whole, ...more] = repliesIn([Buffer.from(made.wire, "latin1")]);
        assert.ok(whole !== undefined && more.length === 0);
        const read = parseReply(whole, "RCPT");
        assert.equal(read?.code, code);
        assert.equal(read?.enhanced, status);
        assert.equal(read?.lines.join(), made.text.trim());
      },
    ),
  },
};
export default target;

function check(whole: WholeReply, command: (typeof commands)[number]): void {
  const reply = parseReply(whole, command);
  if (reply === undefined) {
    assert.equal(whole.code, 0);
    return;
  }
  // It goes into payloads and files, and has to come back from them.
  assert.ok(replySchema.safeParse(JSON.parse(JSON.stringify(reply))).success, JSON.stringify(reply));
  for (const line of reply.lines) mustBeOneLine(line);
  if (command === "EHLO") {
    const { maxOctets = 1, auth } = parseExtensions(reply);
    assert.ok(Number.isSafeInteger(maxOctets) && maxOctets > 0);
    for (const mechanism of auth) assert.equal(mechanism, mechanism.toUpperCase());
  }
  if (reply.code < 400) return;
  const diagnosis = diagnoseReply(reply, remote, 1);
  assert.ok(diagnosisSchema.safeParse(diagnosis).success);
  assert.ok(diagnosis.reason.length <= 500);
  mustBeOneLine(diagnosis.reason);
  assert.equal(deferRefusal(reply, remote, 1).diagnosis.status[0], "4");
}

function repliesIn(pieces: readonly Buffer[]): WholeReply[] {
  const reader = new ReplyReader();
  const replies: WholeReply[] = [];
  for (const piece of pieces)
    for (let at = 0; ; ) {
      const found = reader.read(piece, at);
      if (found === undefined) break;
      replies.push({ ...found.reply, octets: Buffer.from(found.reply.octets) });
      at = found.end;
    }
  return replies;
}
