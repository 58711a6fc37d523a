import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeOrcpt, decodeXtext, encodeOrcpt, encodeXtext } from "../../../shared/smtp/xtext.ts";

test("xtext is decoded, and encoded again", () => {
  for (const [encoded, text] of [
    ["QQ314159", "QQ314159"],
    ["a+2Bb+3Dc", "a+b=c"],
    ["a+20b", "a b"],
    ["", ""],
  ] as const) {
    assert.equal(decodeXtext(encoded), text);
    assert.equal(encodeXtext(text), encoded);
  }
});

test("malformed xtext and control characters are refused", () => {
  for (const value of ["a b", "a=b", "a+", "a+2", "a+GG", "\u00e9", "a+0D+0Ab", "a+00", "a+7F", "a+85"])
    assert.equal(decodeXtext(value), undefined, value);
});

test("ORCPT keeps its address type, with the address decoded", () => {
  assert.equal(decodeOrcpt("rfc822;joe+2Btag@example.com"), "rfc822;joe+tag@example.com");
  assert.equal(encodeOrcpt("rfc822;joe+tag@example.com"), "rfc822;joe+2Btag@example.com");
  assert.equal(decodeOrcpt("x400;/C=x/"), undefined);
  for (const value of [
    "",
    "rfc822",
    "rfc822;",
    ";joe@example.com",
    "rfc 822;joe@example.com",
    "rfc822;a+0Ab",
  ])
    assert.equal(decodeOrcpt(value), undefined, value);
});

test("ORCPT of type utf-8 in all three forms is one address", () => {
  const address = "utf-8;b\u00fccher@\u4f8b.jp";
  assert.equal(decodeOrcpt("utf-8;b\\x{FC}cher@\\x{4F8B}.jp"), address);
  assert.equal(decodeOrcpt("utf-8;b\u00fccher@\u4f8b.jp"), address);
  assert.equal(encodeOrcpt(address), "utf-8;b\\x{FC}cher@\\x{4F8B}.jp");
  assert.equal(
    decodeOrcpt(encodeOrcpt("utf-8;a\\b+c=d@\u{1F4E7}.example")),
    "utf-8;a\\b+c=d@\u{1F4E7}.example",
  );
});

test("malformed ORCPT of type utf-8 is refused", () => {
  for (const value of [
    "utf-8;a\\x{0A}b",
    "utf-8;a\\x{D800}b",
    "utf-8;a\\x{110000}b",
    "utf-8;a\\b",
    "utf-8;a=b",
    "utf-8;a b",
  ])
    assert.equal(decodeOrcpt(value), undefined, value);
});
