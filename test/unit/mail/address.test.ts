import assert from "node:assert/strict";
import { test } from "node:test";
import { domainOf, hasSenderRouting, localPartOf, parsePath } from "../../../shared/mail/address.ts";

/** What MAIL FROM: or RCPT TO: would be followed by. */
function parse(text: string) {
  const path = parsePath(text, 0);
  return path.kind === "mailbox" ? path.address : path.kind;
}

test("mailboxes are kept exactly as they are written", () => {
  for (const address of [
    "user@example.com",
    "User.Name+tag@EXAMPLE.com",
    "!#$%&'*+-/=?^_`{|}~@example.com",
    '"two words"@example.com',
    '"a@b"@example.com',
    '"say \\"hi\\" > there"@example.com',
    '""@example.com',
    "user@[192.0.2.1]",
    "user@[IPv6:2001:db8::1]",
    "user@host_with_underscore.example",
    "user@localhost",
    "user@1.2.3.example",
    "b\u00fccher@b\u00fccher.example",
    "\u7528\u6237@\u4f8b\u3048.jp",
    // Large Japanese providers gave these out.
    "some..body.@docomo.example",
    `${"x".repeat(200)}@example.com`,
  ])
    assert.equal(parse(`<${address}>`), address);
});

test("malformed mailboxes are refused", () => {
  for (const path of [
    "<user@>",
    "<@example.com>",
    "<user@example.com",
    "<user@@example.com>",
    "<user name@example.com>",
    '<"open@example.com>',
    '<"a"b@example.com>',
    "<user@exa mple.com>",
    "<user@.example.com>",
    "<user@example..com>",
    "<user@example.com.>",
    "<user@-example.com>",
    "<user@example-.com>",
    "<user@[300.0.2.1]>",
    "<user@[192.0.2.1>",
    "<user@[2001:db8::1]>",
    "<user@[IPv6:192.0.2.1]>",
    "<us\x00er@example.com>",
    "<us\u0085er@example.com>",
    "<us\u2028er@example.com>",
    `<${"x".repeat(300)}@example.com>`,
    `<user@${"a".repeat(64)}.example>`,
    `<user@${"abcdefg.".repeat(40)}example>`,
    "<<user@example.com>>",
    "",
    "<",
    "< user@example.com>",
  ])
    assert.equal(parse(path), "invalid", path);
});

test("the null reverse-path is not a mailbox", () => {
  assert.deepEqual(parsePath("<> BODY=7BIT", 0), { kind: "null", end: 2 });
});

test("a path ends where its parameters begin", () => {
  assert.deepEqual(parsePath('FROM:<"a>b"@example.com> SIZE=1', 5), {
    kind: "mailbox",
    address: '"a>b"@example.com',
    sourceRoute: false,
    ascii: true,
    end: 24,
  });
});

test("clients may leave the angle brackets out", () => {
  assert.deepEqual(parsePath("user@example.com SIZE=1", 0), {
    kind: "mailbox",
    address: "user@example.com",
    sourceRoute: false,
    ascii: true,
    end: 16,
  });
});

test("source routes are taken off and reported", () => {
  const path = parsePath("<@a.example,@b.example:user@example.com>", 0);
  assert.deepEqual(path, {
    kind: "mailbox",
    address: "user@example.com",
    sourceRoute: true,
    ascii: true,
    end: 40,
  });
  assert.equal(parse("<@a.example,b.example:user@example.com>"), "invalid");
  assert.equal(parse("<@a.example:user>"), "invalid");
});

test("a local part without a domain is recognised, as postmaster has", () => {
  assert.deepEqual(parsePath("<Postmaster>", 0), { kind: "unqualified", localPart: "Postmaster", end: 12 });
});

test("addresses beyond ASCII are recognised", () => {
  const path = parsePath("<user@b\u00fccher.example>", 0);
  assert.equal(path.kind === "mailbox" && path.ascii, false);
});

test("domain and local part are split at the last @", () => {
  assert.equal(domainOf('"a@b"@Example.com'), "Example.com");
  assert.equal(localPartOf('"a@b"@Example.com'), '"a@b"');
  assert.equal(domainOf("postmaster"), "");
  assert.equal(localPartOf("postmaster"), "postmaster");
  assert.equal(domainOf(""), "");
});

test("local parts with sender routing are recognised", () => {
  for (const address of ["a%b.example@example.com", "b.example!a@example.com", '"a@b.example"@example.com'])
    assert.equal(hasSenderRouting(address), true, address);
  assert.equal(hasSenderRouting("a.b+c@example.com"), false);
});
