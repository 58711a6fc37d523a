import assert from "node:assert/strict";
import { test } from "node:test";
import { Wire } from "./wire.ts";

function opened(): Wire {
  const wire = new Wire({ requireAuth: true }).server("220 far.test").client("EHLO a");
  wire.server("250-far.test\n250-CHUNKING\n250 AUTH PLAIN LOGIN");
  wire.atServer();
  wire.atClient();
  return wire;
}

test("MAIL is answered 530 and never reaches the server; HELO, NOOP, RSET and QUIT do", () => {
  const wire = opened();
  assert.match(wire.client("MAIL FROM:<a@b>").atClient(), /^530 5\.7\.0 /);
  assert.equal(wire.atServer(), "");
  assert.equal(wire.client("HELO a\nNOOP\nRSET\nQUIT").atServer(), "HELO a\nNOOP\nRSET\nQUIT");
  assert.equal(wire.transactions[0]?.result, "refused");
});

test("after the server's 235 everything passes", () => {
  const wire = opened();
  wire.client("AUTH PLAIN AGEAYg==").server("235 welcome").client("MAIL FROM:<a@b>\nRCPT TO:<c@d>");
  assert.equal(wire.atServer(), "AUTH PLAIN AGEAYg==\nMAIL FROM:<a@b>\nRCPT TO:<c@d>");
});

test("an AUTH that the server refuses, or answers with anything but 235, opens nothing", () => {
  for (const reply of ["535 no", "454 later", "250 ok", "500 what?"]) {
    const wire = opened();
    wire.client("AUTH PLAIN AGEAYg==").server(reply);
    wire.atClient();
    assert.match(wire.client("MAIL FROM:<a@b>").atClient(), /^530 /, reply);
    assert.equal(wire.atServer(), "AUTH PLAIN AGEAYg==");
  }
});

test("a MAIL inside an AUTH exchange cancels it: a response is base64", () => {
  const wire = opened();
  wire.client("AUTH LOGIN").server("334 VXNlcm5hbWU6");
  wire.atServer();
  wire.atClient();
  assert.equal(wire.client("MAIL FROM:<a@b>").atServer(), "*");
  assert.match(wire.server("501 cancelled").atClient(), /^501 5\.5\.2 [^\n]*base64[^\n]*$/);
  assert.match(wire.client("MAIL FROM:<a@b>").atClient(), /^530 /);
});

test("MAIL pipelined behind AUTH waits for the server's reply to that", () => {
  const refused = opened().client("AUTH PLAIN x\nMAIL FROM:<a@b>");
  assert.equal(refused.atServer(), "AUTH PLAIN x");
  assert.match(refused.server("535 no").atClient(), /^535 no\n530 /);
  const accepted = opened().client("AUTH PLAIN x\nMAIL FROM:<a@b>");
  assert.equal(accepted.server("235 yes").atClient(), "235 yes");
  assert.equal(accepted.atServer(), "AUTH PLAIN x\nMAIL FROM:<a@b>");
});

test("a whole pipelined transaction gets its replies in order, and the server sees none of it", () => {
  const wire = opened().client("NOOP\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nNOOP");
  assert.equal(wire.atServer(), "NOOP\nNOOP");
  const replies = wire.server("250 one\n250 two").atClient().split("\n");
  assert.deepEqual(
    replies.map((reply) => reply.slice(0, 7)),
    ["250 one", "530 5.7", "530 5.7", "530 5.7", "250 two"],
  );
});

test("octets that would be message data are commands, since DATA was refused", () => {
  const wire = opened().client("DATA");
  wire.atClient();
  assert.match(wire.client("Subject: x\n.\nMAIL FROM:<a@b>").atClient(), /^530 .*\n530 .*\n530 /);
  assert.equal(wire.atServer(), "");
});

test("the chunk of a refused BDAT is swallowed by its count", () => {
  const wire = opened();
  const chunk = "MAIL FROM:<smuggled@b>\r\n";
  wire
    .client(Buffer.from(`BDAT ${chunk.length} LAST\r\n${chunk.slice(0, 7)}`))
    .client(Buffer.from(`${chunk.slice(7)}NOOP\r\n`));
  assert.equal(wire.atServer(), "NOOP");
  assert.match(wire.atClient(), /^530 [^\n]*$/);
});

test("no spelling of MAIL gets by", () => {
  for (const line of [
    "mail from:<a@b>",
    " MAIL FROM:<a@b>",
    "\rMAIL FROM:<a@b>",
    "MAILFROM:<a@b>",
    "SOML FROM:<a@b>",
    "XMAIL x",
  ]) {
    const wire = opened().client(line);
    assert.equal(wire.atServer(), "", JSON.stringify(line));
    assert.match(wire.atClient(), /^530 /);
  }
});

test("a second command behind a bare CR, or a bare LF, does not hide in the first", () => {
  const carriage = opened().client("NOOP\rMAIL FROM:<a@b>");
  assert.equal(carriage.atServer(), "");
  assert.match(carriage.atClient(), /^500 5\.5\.2 /);
  const feed = opened().client(Buffer.from("NOOP\nMAIL FROM:<a@b>\r\n"));
  assert.equal(feed.atServer(), "NOOP");
  assert.match(feed.server("250 ok").atClient(), /^250 ok\n530 /);
});

test("XCLIENT begins the session again", () => {
  const wire = opened()
    .client("AUTH PLAIN x")
    .server("235 yes")
    .client("XCLIENT ADDR=192.0.2.1")
    .server("220 far.test");
  wire.atClient();
  assert.match(wire.client("MAIL FROM:<a@b>").atClient(), /^530 /);
});
