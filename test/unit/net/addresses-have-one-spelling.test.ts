import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatEndpoint,
  formatHostPort,
  parseEndpoint,
  parseHostPort,
} from "../../../shared/net/endpoint.ts";
import { canonicalAddress, ipv6Network, literalAddress, Network } from "../../../shared/net/network.ts";

test("an address has one spelling, and text that is no address has none", () => {
  assert.equal(canonicalAddress("2001:DB8:0:0::1"), "2001:db8::1");
  assert.equal(canonicalAddress("::ffff:192.0.2.1"), "192.0.2.1");
  for (const text of ["192.0.2", "0300.0.2.1", "fe80::1%eth0", "[::1]", "example.com", ""]) {
    assert.equal(canonicalAddress(text), undefined, text);
  }
});

test("an address literal is read with its brackets and without", () => {
  for (const text of ["2001:DB8::1", "[2001:db8::1]", "[IPv6:2001:db8:0::1]"]) {
    assert.equal(literalAddress(text), "2001:db8::1", text);
  }
  assert.equal(literalAddress("[192.0.2.1]"), "192.0.2.1");
  assert.equal(literalAddress("[example.com]"), undefined);
});

test("an endpoint is written with brackets around IPv6, and read back", () => {
  for (const text of ["192.0.2.1:25", "[2001:db8::1]:2525"]) {
    const endpoint = parseEndpoint(text, 25);
    assert.ok(endpoint);
    assert.equal(formatEndpoint(endpoint), text);
  }
  assert.deepEqual(parseEndpoint("2001:DB8::1", 53), { address: "2001:db8::1", port: 53 });
  for (const text of ["[192.0.2.1]:25", "2001:db8::1]:25", "192.0.2.1:0", "192.0.2.1:65536", "mx.test:25"]) {
    assert.equal(parseEndpoint(text, 25), undefined, text);
  }
});

test("a server may be a host name, and needs a port where there is no default", () => {
  assert.deepEqual(parseHostPort("Mail.Example.com:26"), { host: "mail.example.com", port: 26 });
  assert.deepEqual(parseHostPort("mail.example.com", 25), { host: "mail.example.com", port: 25 });
  assert.equal(parseHostPort("mail.example.com"), undefined);
  assert.equal(formatHostPort({ host: "mail.example.com", port: 26 }), "mail.example.com:26");
});

test("a network contains addresses of its own family only", () => {
  const network = Network.parse("192.0.2.0/24");
  assert.ok(network.contains("192.0.2.255"));
  assert.ok(network.contains("::ffff:192.0.2.7"));
  for (const address of ["192.0.3.0", "2001:db8::1", "not an address"])
    assert.ok(!network.contains(address), address);
  assert.ok(Network.parse("2001:db8::1").contains("2001:DB8:0::1"));
  for (const text of ["192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "example.com"]) {
    assert.throws(() => Network.parse(text), /is not a network/, text);
  }
});

test("clients of one IPv6 network are counted together", () => {
  assert.equal(ipv6Network("2001:db8:1:2:3::4", 64), "2001:db8:1:2::/64");
  assert.equal(ipv6Network("192.0.2.1", 64), "192.0.2.1");
});
