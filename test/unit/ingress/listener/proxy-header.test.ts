import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c, parseProxyHeader } from "../../../../services/ingress/listener/proxy-header.ts";
import { extension, proxyV2 } from "../../../support/proxy-header.ts";

const client = { address: "192.0.2.1", port: 56324 };
const destination = { address: "203.0.113.25", port: 25 };
const client6 = { address: "2001:db8::1", port: 1 };
const destination6 = { address: "2001:db8:0:1::25", port: 65535 };
const local = { kind: "local" } as const;

const valid: [string, Buffer, object][] = [
  [
    "version 1, IPv4",
    Buffer.from("PROXY TCP4 192.0.2.1 203.0.113.25 56324 25\r\n"),
    { kind: "proxied", client, destination },
  ],
  [
    "version 1, IPv6",
    Buffer.from("PROXY TCP6 2001:DB8::1 2001:db8:0:1:0:0:0:25 1 65535\r\n"),
    { kind: "proxied", client: client6, destination: destination6 },
  ],
  [
    "version 1, IPv4 written as IPv6",
    Buffer.from("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:203.0.113.25 56324 25\r\n"),
    { kind: "proxied", client, destination },
  ],
  ["version 1, UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n"), local],
  ["version 1, UNKNOWN with anything", Buffer.from(`PROXY UNKNOWN ${"f".repeat(90)}\r\n`), local],
  ["version 2, IPv4", proxyV2({ client, destination }), { kind: "proxied", client, destination }],
  [
    "version 2, IPv6",
    proxyV2({ client: client6, destination: destination6 }),
    { kind: "proxied", client: client6, destination: destination6 },
  ],
  [
    "version 2, IPv4 mapped into IPv6",
    proxyV2({
      client: { address: "::ffff:192.0.2.1", port: 56324 },
      destination: { address: "::ffff:203.0.113.25", port: 25 },
    }),
    { kind: "proxied", client, destination },
  ],
  [
    "version 2 with extensions",
    proxyV2({
      client,
      destination,
      extensions: [extension(0x02, "mail.test"), extension(0x20, "\x01\0\0\0\0"), extension(0x04, "")],
    }),
    { kind: "proxied", client, destination },
  ],
  [
    "version 2 with a checksum",
    proxyV2({ client, destination, checksum: "right" }),
    { kind: "proxied", client, destination },
  ],
  ["version 2, LOCAL", proxyV2({ command: 0, family: 0 }), local],
  ["version 2, LOCAL with addresses", proxyV2({ command: 0, client, destination }), local],
  ["version 2, UNSPEC", proxyV2({ family: 0, body: Buffer.from("whatever") }), local],
  ["version 2, UNIX", proxyV2({ family: 0x31, body: Buffer.alloc(216) }), local],
];

for (const [name, header, expected] of valid) {
  test(`${name} is understood wherever it is cut, and what follows is left`, () => {
    const rest = Buffer.from("EHLO early.test\r\n");
    for (let i = 0; i < header.length; i++) {
      assert.deepEqual(parseProxyHeader(header.subarray(0, i)), { kind: "incomplete" }, `${i} octets`);
    }
    assert.deepEqual(parseProxyHeader(header), { kind: "header", header: expected, length: header.length });
    const withMore = parseProxyHeader(Buffer.concat([header, rest]));
    assert.deepEqual(withMore, { kind: "header", header: expected, length: header.length });
  });
}

const malformed: [string, Buffer | string][] = [
  ["no header at all", "EHLO client.test\r\n"],
  ["a line end", "\n"],
  ["something else with a P", "PROXZ"],
  ["lower case", "proxy TCP4 192.0.2.1 203.0.113.25 1 25\r\n"],
  ["version 1 of a family that is none", "PROXY TCP5 192.0.2.1 203.0.113.25 1 25\r\n"],
  ["version 1 with the wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"],
  ["version 1 with the other wrong family", "PROXY TCP6 192.0.2.1 203.0.113.25 1 25\r\n"],
  ["version 1 with an address too short", "PROXY TCP4 192.0.2 203.0.113.25 1 25\r\n"],
  ["version 1 with an octal address", "PROXY TCP4 192.0.2.010 203.0.113.25 1 25\r\n"],
  ["version 1 with a zone", "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 25\r\n"],
  ["version 1 with a port too high", "PROXY TCP4 192.0.2.1 203.0.113.25 65536 25\r\n"],
  ["version 1 with a leading zero", "PROXY TCP4 192.0.2.1 203.0.113.25 01 25\r\n"],
  ["version 1 with a negative port", "PROXY TCP4 192.0.2.1 203.0.113.25 -1 25\r\n"],
  ["version 1 without a port", "PROXY TCP4 192.0.2.1 203.0.113.25 1\r\n"],
  ["version 1 with more than it may have", "PROXY TCP4 192.0.2.1 203.0.113.25 1 25 x\r\n"],
  ["version 1 with two blanks", "PROXY TCP4  192.0.2.1 203.0.113.25 1 25\r\n"],
  ["version 1 that does not end", `PROXY UNKNOWN ${"x".repeat(100)}`],
  ["version 1 that ends too late", `PROXY UNKNOWN ${"x".repeat(92)}\r\n`],
  ["version 2 with a broken signature", Buffer.from("\r\n\r\n\0\r\nQUIX")],
  ["version 3", proxyV2({ version: 3, client, destination })],
  ["version 2 with a command that is none", proxyV2({ command: 2, client, destination })],
  ["version 2 of datagrams", proxyV2({ family: 0x12, client, destination })],
  ["version 2 of a family that is none", proxyV2({ family: 0x41, client, destination })],
  ["version 2 too short for IPv4", proxyV2({ family: 0x11, body: Buffer.alloc(11) })],
  ["version 2 too short for IPv6", proxyV2({ family: 0x21, body: Buffer.alloc(35) })],
  ["version 2 too long", proxyV2({ client, destination, extensions: [extension(0x04, "x".repeat(5000))] })],
  [
    "version 2 with half an extension",
    proxyV2({ client, destination, extensions: [Buffer.from([0x04, 0, 9, 1])] }),
  ],
  [
    "version 2 with a stump of an extension",
    proxyV2({ client, destination, extensions: [Buffer.from([0x04])] }),
  ],
  ["version 2 with a wrong checksum", proxyV2({ client, destination, checksum: "wrong" })],
  ["version 2 with a short checksum", proxyV2({ client, destination, extensions: [extension(0x03, "abc")] })],
];

for (const [name, octets] of malformed) {
  test(`${name} is refused`, () => {
    assert.equal(parseProxyHeader(Buffer.from(octets)).kind, "malformed");
  });
}

test("a client that speaks SMTP in place of the header is refused at its first octet", () => {
  assert.equal(parseProxyHeader(Buffer.from("E")).kind, "malformed");
});

test("CRC-32C of the examples in RFC 3720 B.4", () => {
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
});
