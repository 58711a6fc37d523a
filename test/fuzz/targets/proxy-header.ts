import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { crc32c, parseProxyHeader } from "../../../services/ingress/listener/proxy-header.ts";
import { canonicalAddress } from "../../../shared/net/network.ts";
import { below } from "../engine/mutate.ts";
import { randomOf, type Target } from "../engine/target.ts";

const signature = "\r\n\r\n\0\r\nQUIT\n";
const v2 = (head: string, rest: Buffer) => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(rest.length);
  return Buffer.concat([Buffer.from(signature + head, "latin1"), length, rest]);
};
const port = fc.integer({ min: 0, max: 65_535 });

const target: Target = {
  about: "the PROXY header, v1 and v2, of whoever connects to a listener of proxies",
  maxOctets: 8192,
  check(input) {
    const whole = parseProxyHeader(input);
    if (whole.kind === "header") {
      assert.ok(whole.length <= input.length);
      // What follows the header is the client's, and changes nothing.
      assert.deepEqual(parseProxyHeader(Buffer.concat([input, Buffer.from("EHLO x\r\n")])), whole);
      assert.deepEqual(parseProxyHeader(input.subarray(0, whole.length)), whole);
      if (whole.header.kind === "proxied")
        for (const { address, port } of [whole.header.client, whole.header.destination]) {
          assert.ok(net.isIP(address) > 0, address);
          assert.equal(canonicalAddress(address), address);
          assert.ok(Number.isInteger(port) && port >= 0 && port <= 65_535);
        }
    }
    // What has come so far never looks like less later: `malformed` stays so, and a prefix of a header is incomplete.
    const random = randomOf(input);
    for (let i = 0; i < 8; i++) {
      const at = below(input.length, random);
      const part = parseProxyHeader(input.subarray(0, at));
      if (part.kind === "malformed") assert.equal(whole.kind, "malformed");
      else if (whole.kind === "header") assert.equal(part.kind, at < whole.length ? "incomplete" : "header");
    }
    if (input.length > 4200) assert.notEqual(whole.kind, "incomplete");
  },
  seeds: [
    "PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\nEHLO x\r\n",
    "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 65535 0\r\n",
    "PROXY UNKNOWN whatever\r\n",
    "PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n",
    Buffer.concat([Buffer.from(`${signature}\x21\x11\xff\xff`, "latin1"), Buffer.alloc(5000)]),
    v2("\x21\x11", Buffer.from("c0000201c633640204d20019", "hex")),
    v2(
      "\x21\x21",
      Buffer.concat([Buffer.alloc(32, 1), Buffer.from("04d20019030004aabbccdd0400021234", "hex")]),
    ),
    v2("\x20\x00", Buffer.alloc(0)),
    v2("\x21\x31", Buffer.alloc(216)),
  ],
  words: [
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "192.0.2.1",
    "2001:db8::1",
    "\r\n",
    signature,
    "\x21\x11\0\x0c",
    "\x03\0\x04",
  ],
  repair(input) {
    // The length of what is there, and its checksum, if it has one in the first place.
    if (input.length < 16 || input.length > 5000) return input;
    const whole = Buffer.from(input);
    whole.writeUInt16BE(whole.length - 16, 14);
    const at = 16 + (whole[13] === 0x11 ? 12 : 36);
    if (whole[at] === 3 && at + 7 <= whole.length) {
      whole.writeUInt16BE(4, at + 1);
      whole.writeUInt32BE(0, at + 3);
      whole.writeUInt32BE(crc32c(whole), at + 3);
    }
    return whole;
  },
  long: [
    ["PROXY TCP4 ", "1", " 2\r\n"],
    [`${signature}\x21\x11\xff\xff`, "\x03\0\x04aaaa", ""],
  ],
  properties: {
    "a header of version 1 says what was written": fc.property(
      fc.ipV4(),
      fc.ipV4(),
      port,
      port,
      (from, to, fromPort, toPort) => {
        const header = Buffer.from(`PROXY TCP4 ${from} ${to} ${fromPort} ${toPort}\r\n`);
        assert.deepEqual(parseProxyHeader(header), {
          kind: "header",
          header: {
            kind: "proxied",
            client: { address: from, port: fromPort },
            destination: { address: to, port: toPort },
          },
          length: header.length,
        });
      },
    ),
    "a header of version 2 with a checksum says what was written; another octet makes it malformed":
      fc.property(
        fc.uint8Array({ minLength: 36, maxLength: 36 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (addresses, place, change) => {
          const crc = Buffer.from([3, 0, 4, 0, 0, 0, 0]);
          const header = v2("\x21\x21", Buffer.concat([addresses, crc]));
          header.writeUInt32BE(crc32c(header), header.length - 4);
          const parsed = parseProxyHeader(header);
          assert.ok(parsed.kind === "header" && parsed.header.kind === "proxied");
          assert.equal(parsed.header.client.address, canonicalAddress(asText(header.subarray(16, 32))));
          assert.equal(parsed.header.destination.port, header.readUInt16BE(50));
          const at = 16 + (place % 36);
          header[at] = (header[at] ?? 0) ^ change;
          assert.equal(parseProxyHeader(header).kind, "malformed");
        },
      ),
  },
};
export default target;

function asText(octets: Buffer): string {
  return octets.toString("hex").match(/.{4}/g)?.join(":") ?? "";
}
