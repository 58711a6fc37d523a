import assert from "node:assert/strict";
import { test } from "node:test";
import {
  listsHost,
  parseStsPolicy,
  readStsRecords,
  type StsPolicy,
} from "../../../../../shared/smtp-client/tls/sts/policy.ts";

const whole = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n";

function parsed(text: string): StsPolicy {
  const result = parseStsPolicy(text);
  if (result.kind === "invalid") throw new Error(result.reason);
  return result.policy;
}
const reasonFor = (text: string) => {
  const result = parseStsPolicy(text);
  return result.kind === "invalid" ? result.reason : "valid";
};

test("a policy is read, with LF or CRLF, with or without the last one (RFC 8461 §3.2)", () => {
  const policy = { mode: "enforce", mx: ["mail.example.com", "*.example.net"], maxAgeSeconds: 604_800 };
  for (const text of [whole, whole.replaceAll("\n", "\r\n"), whole.trimEnd(), `${whole}\n`]) {
    assert.deepEqual(parsed(text), policy);
  }
});

test("fields may come in any order, with any white space around the value, and unknown ones are ignored", () => {
  const text =
    "max_age:60\nx-new.field: any thing\nmx:\t MAIL.Example.COM. \t\nmode: testing\nversion: STSv1 ";
  assert.deepEqual(parsed(text), { mode: "testing", mx: ["mail.example.com"], maxAgeSeconds: 60 });
});

test("of a repeated field the first counts, except for mx (RFC 8461 §3.2)", () => {
  const policy = parsed(`${whole}mode: none\nmax_age: 1\nversion: STSv2\n`);
  assert.deepEqual([policy.mode, policy.maxAgeSeconds], ["enforce", 604_800]);
});

test("mode none needs no mx; the other modes do", () => {
  assert.deepEqual(parsed("version: STSv1\nmode: none\nmax_age: 60"), {
    mode: "none",
    mx: [],
    maxAgeSeconds: 60,
  });
  assert.equal(reasonFor("version: STSv1\nmode: enforce\nmax_age: 60"), "it has no mx");
});

test("an age of more than a year counts as a year (RFC 8461 §3.2)", () => {
  assert.equal(parsed(whole.replace("604800", "9999999999")).maxAgeSeconds, 31_557_600);
});

for (const [what, text] of [
  ["nothing", ""],
  ["a page of HTML", "<!doctype html>\n<html><body>not found</body></html>"],
  ["another version", whole.replace("STSv1", "STSv2")],
  ["no version", whole.replace("version: STSv1\n", "")],
  ["a mode that does not exist", whole.replace("enforce", "Enforce")],
  ["no mode", whole.replace("mode: enforce\n", "")],
  ["no max_age", whole.replace("max_age: 604800\n", "")],
  ["a max_age below zero", whole.replace("604800", "-1")],
  ["a max_age that is no integer", whole.replace("604800", "1e9")],
  ["a max_age without end", whole.replace("604800", "1".repeat(5000))],
  ["a line without a colon", `${whole}hello\n`],
  ["a NUL", whole.replace("enforce", "enforce\0")],
  ["a lone CR", whole.replace("mode", "x: y\rmode")],
  ["a wildcard inside", whole.replace("*.example.net", "mx.*.example.net")],
  ["a wildcard for everything", whole.replace("*.example.net", "*")],
  ["half a wildcard label", whole.replace("*.example.net", "mx*.example.net")],
  ["an mx that is an address", whole.replace("*.example.net", "[192.0.2.1]")],
  ["an mx with an empty label", whole.replace("*.example.net", "a..example.net")],
  ["an mx longer than a name can be", whole.replace("*.example.net", `${"a.".repeat(200)}test`)],
  ["an mx in Unicode, not in A-labels", whole.replace("*.example.net", "bücher.example")],
  ["a thousand mx", whole + Array.from({ length: 1000 }, (_, i) => `mx: m${i}.example\n`).join("")],
] satisfies [string, string][]) {
  test(`no policy: ${what}`, () => assert.notEqual(reasonFor(text), "valid"));
}

test("hostile text is parsed in linear time", () => {
  const before = process.cpuUsage();
  for (const piece of ["a.", "-", "a-", "a: ", "mx: ", "\r", " ", "*."]) parseStsPolicy(piece.repeat(30_000));
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 2_000_000, `${user + system} µs`);
});

for (const [host, listed] of [
  ["mail.example.com", true],
  ["MAIL.example.COM", true],
  ["mail.example.com.", true],
  ["mx1.example.net", true],
  ["example.net", false],
  ["a.mx1.example.net", false],
  ["mx1example.net", false],
  ["mail.example.com.evil.test", false],
  ["evil-mail.example.com", false],
  ["*.example.net", true],
  ["", false],
  [".example.net", false],
] satisfies [string, boolean][]) {
  test(`a policy for mail.example.com and *.example.net ${listed ? "lists" : "does not list"} "${host}" (RFC 8461 §4.1)`, () => {
    assert.equal(listsHost(parsed(whole), host), listed);
  });
}

// With quadratic time each would take hours.
test("a line of very many spaces is read in no time: whoever owns the domain must not stop deliveries to others", () => {
  const spaces = " \t".repeat(2 ** 20);
  assert.equal(parseStsPolicy(`mx: a${spaces}b\n`).kind, "invalid");
  assert.equal(parseStsPolicy(`mx:${spaces}\0\n`).kind, "invalid");
  assert.equal(readStsRecords([`v=STSv1; id=1; a${spaces}b`]).kind, "none");
  const spacious = `version:${spaces}STSv1${spaces}\nmode: none${spaces}\nmax_age: 1\n`;
  assert.equal(parseStsPolicy(spacious).kind, "policy");
});
