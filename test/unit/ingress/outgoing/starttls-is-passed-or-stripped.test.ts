import assert from "node:assert/strict";
import { test } from "node:test";
import { Wire } from "./wire.ts";

const ehlo = "250-far.test\n250-PIPELINING\n250-STARTTLS\n250-SIZE 1000\n250 8BITMIME";

test("passed, STARTTLS makes the rest opaque when the server replies 220", () => {
  const wire = new Wire().server("220 far.test").client("EHLO a").server(ehlo).client("STARTTLS");
  assert.equal(wire.atClient(), `220 far.test\n${ehlo}`);
  wire.atServer();
  wire.server("220 go on");
  assert.equal(wire.opaque, "starttls");
  wire.client(Buffer.from("\x16\x03\x01MAIL FROM:<a>\r\n.\r\n"));
  wire.server(Buffer.from("\x16\x03\x03no reply at all"));
  assert.equal(wire.atServer(), "\x16\x03\x01MAIL FROM:<a>\n.");
  assert.equal(wire.atClient(), "220 go on\n\x16\x03\x03no reply at all");
});

test("passed, what a client sends behind STARTTLS waits for the reply, and then goes on as it came", () => {
  const wire = new Wire().server("220 far.test").client("STARTTLS\nMAIL FROM:<a@b>");
  assert.equal(wire.atServer(), "STARTTLS");
  assert.ok(wire.dialogue.isHolding);
  wire.server("454 4.7.0 not now");
  assert.equal(wire.atServer(), "MAIL FROM:<a@b>");
  assert.equal(wire.opaque, undefined);
  wire.server("250 ok").client("RSET").server("250 ok");
  assert.equal(wire.transactions.length, 1);
});

test("the rest of the server's octets behind its 220 are opaque too", () => {
  const wire = new Wire().server("220 far.test").client("STARTTLS");
  wire.atClient();
  wire.server(Buffer.from("220 go on\r\n\x00\x01 250-partial"));
  assert.equal(wire.atClient(), "220 go on\n\x00\x01 250-partial");
});

test("stripped, exactly its line leaves the EHLO reply, wherever that is cut", () => {
  const octets = Buffer.from(`${ehlo.replaceAll("\n", "\r\n")}\r\n`);
  for (let i = 0; i <= octets.length; i++) {
    const wire = new Wire({ starttls: "strip" }).server("220 far.test").client("EHLO a");
    wire.atClient();
    wire.server(octets.subarray(0, i)).server(octets.subarray(i));
    assert.equal(wire.atClient(), "250-far.test\n250-PIPELINING\n250-SIZE 1000\n250 8BITMIME", `cut at ${i}`);
  }
});

test("stripped as the last keyword, the one before it becomes the last", () => {
  const strip = (reply: string) => {
    const wire = new Wire({ starttls: "strip" }).server("220 far.test").client("EHLO a");
    wire.atClient();
    return wire.server(reply).atClient();
  };
  assert.equal(strip("250-far.test\n250-SIZE\n250 STARTTLS"), "250-far.test\n250 SIZE");
  assert.equal(strip("250-far.test\n250 starttls"), "250 far.test");
  assert.equal(strip("250-far.test\n250-X-ANONYMOUSTLS\n250 SIZE"), "250-far.test\n250 SIZE");
  assert.equal(strip("250-STARTTLS\n250-STARTTLS \n250 X"), "250-STARTTLS\n250 X");
  assert.equal(strip("250 STARTTLS"), "250 STARTTLS");
  assert.equal(strip("250-far.test\n250-XSTARTTLS\n250 HELP"), "250-far.test\n250-XSTARTTLS\n250 HELP");
  assert.equal(strip("550 STARTTLS first"), "550 STARTTLS first");
});

test("stripped, other replies pass untouched even when they mention STARTTLS", () => {
  const wire = new Wire({ starttls: "strip" }).server("220 far.test").client("HELP");
  wire.atClient();
  assert.equal(
    wire.server("214-commands:\n214-STARTTLS\n214 end").atClient(),
    "214-commands:\n214-STARTTLS\n214 end",
  );
});

test("stripped, STARTTLS is refused without reaching the server", () => {
  const wire = new Wire({ starttls: "strip" }).server("220 far.test").client("EHLO a").server(ehlo);
  wire.atServer();
  wire.atClient();
  assert.match(wire.client("starttls").atClient(), /^502 5\.5\.1 /);
  assert.equal(wire.atServer(), "");
  assert.equal(wire.client("NOOP").atServer(), "NOOP");
});

test("stripped, the refusal keeps its place among pipelined replies", () => {
  const wire = new Wire({ starttls: "strip" }).client("EHLO a\nNOOP\nSTARTTLS\nSTARTTLS\nVRFY x\nSTARTTLS");
  assert.equal(wire.atServer(), "EHLO a\nNOOP\nVRFY x");
  assert.equal(wire.atClient(), "", "nothing may come before the greeting");
  wire.server("220 far.test");
  assert.equal(wire.atClient(), "220 far.test");
  wire.server(Buffer.from("250 far.test\r\n250 no"));
  assert.equal(wire.atClient(), "250 far.test\n250 no");
  wire.server(Buffer.from("op\r\n"));
  assert.match(wire.atClient(), /^op\n502 [^\n]+\n502 [^\n]+$/);
  assert.match(wire.server("252 x").atClient(), /^252 x\n502 [^\n]+$/);
});

test("stripped, a chunk for a server without CHUNKING never reaches it: it would be read as commands", () => {
  const wire = new Wire({ starttls: "strip" }).server("220 far.test").client("EHLO a").server("250 far.test");
  wire.atServer();
  wire.atClient();
  wire.client(Buffer.from("BDAT 10\r\nSTARTTLS\r\nNOOP\r\n"));
  assert.equal(wire.atServer(), "NOOP");
  assert.match(wire.atClient(), /^503 /);
});

test("an EHLO reply too long to read ends the session and does not pass unread", () => {
  const wire = new Wire({ starttls: "strip" }).server("220 far.test").client("EHLO a");
  wire.server(`250-${"x".repeat(70_000)}\n250 STARTTLS`);
  assert.equal(wire.ended, "malformed-reply");
  assert.equal(wire.atClient(), "220 far.test");
});

test("XCLIENT and XFORWARD pass, or are refused and not offered", () => {
  const offered = "250-far.test\n250-XCLIENT NAME ADDR\n250 XFORWARD NAME";
  const passing = new Wire().server("220 far.test").client("EHLO a").server(offered);
  assert.equal(passing.atClient(), `220 far.test\n${offered}`);
  passing.atServer();
  assert.equal(passing.client("XCLIENT ADDR=192.0.2.1").atServer(), "XCLIENT ADDR=192.0.2.1");
  const refusing = new Wire({ xclient: "refuse" }).server("220 far.test").client("EHLO a").server(offered);
  assert.equal(refusing.atClient(), "220 far.test\n250 far.test");
  refusing.atServer();
  assert.match(refusing.client("XCLIENT ADDR=192.0.2.1\nXFORWARD NAME=x").atClient(), /^502 .*\n502 /);
  assert.equal(refusing.atServer(), "");
});
