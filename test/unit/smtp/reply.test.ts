import assert from "node:assert/strict";
import { test } from "node:test";
import { describeReply, makeEhloReply, makeReply } from "../../../shared/smtp/reply.ts";

test("a reply is one line with its enhanced status", () => {
  const reply = makeReply(550, "5.7.1", "Relaying denied");
  assert.equal(reply.wire, "550 5.7.1 Relaying denied\r\n");
  assert.equal(describeReply(reply), "550 5.7.1 Relaying denied");
  assert.equal(makeReply(354, undefined, "Go on").wire, "354 Go on\r\n");
});

test("text cannot split a reply", () => {
  assert.equal(makeReply(250, "2.0.0", "a\r\n250 b\u2028\u00e9").wire, "250 2.0.0 a  250 b  \r\n");
});

test("the reply to EHLO has a line for each extension", () => {
  assert.equal(
    makeEhloReply(["gw.example.net", "SIZE 0", "DSN"]).wire,
    "250-gw.example.net\r\n250-SIZE 0\r\n250 DSN\r\n",
  );
});
