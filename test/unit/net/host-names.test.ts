import assert from "node:assert/strict";
import { test } from "node:test";
import { isHost, parseHostPort } from "../../../shared/net/endpoint.ts";

test("what is neither an address nor a name is no host", () => {
  for (const host of [
    "mail.example.com",
    "redis",
    "my_redis",
    "a-b.example.",
    "xn--mnchen-3ya.example",
    "münchen.example",
  ])
    assert.ok(isHost(host), host);
  for (const host of ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]) assert.ok(isHost(host), host);
  for (const host of [
    "300.1.1.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "1.2.3.0x4",
    "bad_host!",
    "-a.example",
    "a-.example",
    "a..example",
    ".",
    "",
    "a b",
    `${"a".repeat(64)}.example`,
    `${"a.".repeat(127)}example`,
    "2001:db8::zz",
  ])
    assert.ok(!isHost(host), host);
});

test("a server is a host and a port", () => {
  assert.deepEqual(parseHostPort("Mail.Example.com:25"), { host: "mail.example.com", port: 25 });
  assert.deepEqual(parseHostPort("[2001:db8::1]", 25), { host: "2001:db8::1", port: 25 });
  for (const text of ["300.1.1.1:25", "bad_host!:25", "[1:2]:25", "192.0.2.1:0", "a:70000"])
    assert.equal(parseHostPort(text, 25), undefined, text);
});
