import assert from "node:assert/strict";
import { test } from "node:test";
import { noExtensions, parseExtensions } from "../../../shared/smtp/extensions.ts";

const parse = (...lines: string[]) => parseExtensions({ code: 250, lines, command: "EHLO" });

test("EHLO keywords are read in any case (RFC 5321 §4.1.1.1)", () => {
  assert.deepEqual(parse("mx.test", "pipelining", "8BITMIME", "SmtpUtf8", "DSN", "STARTTLS", "REQUIRETLS"), {
    ...noExtensions,
    pipelining: true,
    eightBitMime: true,
    smtpUtf8: true,
    dsn: true,
    startTls: true,
    requireTls: true,
  });
});

test("SIZE without a number, or 0, names no limit (RFC 1870 §3)", () => {
  assert.deepEqual(parse("mx", "SIZE"), { ...noExtensions, size: true });
  assert.deepEqual(parse("mx", "SIZE 0"), { ...noExtensions, size: true });
  assert.deepEqual(parse("mx", "SIZE 1000"), { ...noExtensions, size: true, maxOctets: 1000 });
  assert.deepEqual(parse("mx", "SIZE many"), { ...noExtensions, size: true });
});

test("AUTH mechanisms are collected, from AUTH= too", () => {
  assert.deepEqual(parse("mx", "AUTH plain LOGIN", "AUTH=LOGIN CRAM-MD5").auth, [
    "PLAIN",
    "LOGIN",
    "LOGIN",
    "CRAM-MD5",
  ]);
});

test("the greeting line of an EHLO reply is no keyword", () => {
  assert.deepEqual(parse("PIPELINING"), noExtensions);
});
