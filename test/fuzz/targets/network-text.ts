import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { formatEndpoint, parseEndpoint, parseHostPort } from "../../../shared/net/endpoint.ts";
import { addressBits, canonicalAddress, literalAddress, Network } from "../../../shared/net/network.ts";
import { wireName } from "../../../shared/smtp-client/dns/answer.ts";
import { parseHosts, parseResolvConf } from "../../../shared/smtp-client/dns/system.ts";
import type { Target } from "../engine/target.ts";

const target: Target = {
  about:
    "addresses, networks, endpoints and host names as text: PROXY headers, records, /etc/hosts, resolv.conf",
  maxOctets: 16_384,
  check(input) {
    const text = input.toString("utf8");
    const address = canonicalAddress(text);
    if (address !== undefined) {
      assert.ok(net.isIP(address) > 0, address);
      assert.equal(canonicalAddress(address), address);
      assert.equal(literalAddress(`[${address}]`), address);
      assert.ok([33, 129].includes(addressBits(text)?.length ?? 0));
      assert.ok(Network.parse(address).contains(text));
    }
    const endpoint = parseEndpoint(text, 25);
    if (endpoint !== undefined) assert.ok(endpoint.port >= 1 && endpoint.port <= 65_535);
    if (endpoint !== undefined) assert.deepEqual(parseEndpoint(formatEndpoint(endpoint), 1), endpoint);
    const hostPort = parseHostPort(text, 25);
    if (hostPort !== undefined) assert.ok(hostPort.port >= 1 && hostPort.port <= 65_535);
    try {
      const network = Network.parse(text);
      assert.ok(Network.parse(network.toString()).covers(network));
    } catch (error) {
      assert.match((error as Error).message, /^is not a network/);
    }
    for (const server of parseResolvConf(text)) assert.ok(net.isIP(server.host) > 0);
    for (const addresses of parseHosts(text).values())
      for (const each of addresses) assert.ok(net.isIP(each) > 0);
    const name = wireName(text, () => "");
    if (name !== undefined) assert.ok(name.length <= 253 && name === name.toLowerCase());
  },
  seeds: [
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "[2001:db8::1]:53",
    "192.0.2.0/24",
    "2001:db8::/32",
    "nameserver 192.0.2.1\nnameserver fe80::1%eth0\n",
    "192.0.2.1 a b # c\n::1 localhost\n",
    "mx.example.com:25",
    "0x7f.1",
    "127.1",
    "192.0.2.1:65536",
  ],
  words: ["::", ":", ".", "/", "%eth0", "255", "0x", "[", "]", "ffff:", "nameserver ", " ", "#", "\n"],
  long: [
    ["", "1", ""],
    ["", ":", ""],
    ["", "1.", "1"],
    ["", "a:", ""],
    ["", " ", "nameserver"],
    ["", "a.", ""],
    ["1/", "1", ""],
    ["::", "0", "1"],
  ],
  properties: {
    "an address has one spelling": fc.property(fc.ipV6(), (text) => {
      const address = canonicalAddress(text);
      // The generator writes some forms that are none.
      if (net.isIPv6(text)) assert.ok(address !== undefined, text);
      if (address !== undefined) assert.equal(addressBits(text), addressBits(address));
    }),
  },
};
export default target;
