import assert from "node:assert/strict";
import { test } from "node:test";
import type { NextHop } from "../../../../shared/routing/next-hop.ts";
import {
  connectionKey,
  destinationLimits,
  destinationName,
  tlsLevels,
} from "../../../../shared/smtp-client/next-hops/destination.ts";
import { testConfig } from "../../../support/config.ts";

test("the first entry of limits.destinations that matches holds", () => {
  const config = testConfig({
    limits: {
      destinations: [
        { match: "gmail.com", connections: 10, rate: "600/1m" },
        { match: "*.example.com", messages_per_connection: 5 },
        { match: "*", connections: 3, messages_per_connection: 7 },
      ],
    },
  });
  const limitsOf = destinationLimits(config.limits.destinations);
  assert.deepEqual(limitsOf("gmail.com"), {
    connections: 10,
    messagesPerConnection: 100,
    rate: { count: 600, periodMs: 60_000 },
  });
  assert.deepEqual(limitsOf("mx.example.com"), { connections: 20, messagesPerConnection: 5 });
  assert.deepEqual(limitsOf("example.com"), { connections: 3, messagesPerConnection: 7 });
});

test("a limit by address holds for a host however its address is written", () => {
  for (const [match, destination] of [
    ["192.0.2.25", "192.0.2.25"],
    ["192.0.2.25", "[192.0.2.25]"],
    ["[192.0.2.25]", "192.0.2.25"],
    ["2001:db8::25", "2001:db8:0:0:0:0:0:25"],
    ["[2001:DB8:0::25]", "[ipv6:2001:db8::25]"],
    ["[IPv6:2001:db8::25]", "2001:db8::25"],
  ] satisfies [string, string][]) {
    const config = testConfig({ limits: { destinations: [{ match, connections: 3 }] } });
    const limitsOf = destinationLimits(config.limits.destinations);
    assert.equal(limitsOf(destination).connections, 3, `${match} ${destination}`);
    assert.equal(limitsOf("192.0.2.26").connections, 20);
    assert.equal(limitsOf("2001:db8::26").connections, 20);
  }
});

test("TLS by delivery.tls: for MX hosts and for hosts that a route names, not for those with a level of their own", () => {
  const config = testConfig({
    delivery: {
      tls: [
        { match: "smtp.partner.test", policy: "require" },
        { match: "2001:db8::25", policy: "none" },
        { match: "*", policy: "mta-sts" },
      ],
    },
  });
  const levelOf = tlsLevels(config.delivery.tls);
  const host = (name: string): NextHop => ({ kind: "host", host: { host: name, port: 25 } });
  const servers = [{ host: "smtp.partner.test", port: 25 }];
  assert.equal(levelOf(host("smtp.partner.test")), "require");
  assert.equal(levelOf(host("2001:db8::25")), "none");
  assert.equal(levelOf(host("192.0.2.1")), "verify", "MTA-STS speaks of MX hosts");
  assert.equal(levelOf({ kind: "mx", domain: "example.org" }), "mta-sts");
  assert.equal(levelOf({ kind: "servers", servers, hide: false }), "may");
  assert.equal(levelOf({ kind: "servers", servers, hide: false, tls: "dane" }), "dane");
  assert.equal(tlsLevels([])(host("192.0.2.1")), "may");
});

test("a destination is called by domain, relay host or first server", () => {
  const hops: [NextHop, string][] = [
    [{ kind: "mx", domain: "Example.org" }, "example.org"],
    [
      { kind: "relay", relay: { name: "isp", host: "smtp.isp.test", port: 587, tls: "may" } },
      "smtp.isp.test",
    ],
    [{ kind: "host", host: { host: "192.0.2.1", port: 25 } }, "192.0.2.1"],
    [{ kind: "servers", servers: [{ host: "192.0.2.9", port: 25 }], hide: false }, "192.0.2.9"],
  ];
  for (const [hop, name] of hops) assert.equal(destinationName(hop), name);
});

const may = { level: "may", requireTls: false, ignoresPublished: false } as const;

test("a connection is shared only where next hop, TLS, credentials, HELO name and source are equal", () => {
  const relay = (auth?: { user: string; password: string }): NextHop => ({
    kind: "relay",
    relay: { name: "isp", host: "smtp.isp.test", port: 587, tls: "may", ...(auth && { auth }) },
  });
  const keys = [
    connectionKey({ kind: "mx", domain: "a.test" }, may, "gw", ""),
    connectionKey({ kind: "mx", domain: "b.test" }, may, "gw", ""),
    connectionKey({ kind: "mx", domain: "a.test" }, { ...may, level: "verify" }, "gw", ""),
    connectionKey({ kind: "mx", domain: "a.test" }, { ...may, level: "verify", requireTls: true }, "gw", ""),
    connectionKey({ kind: "mx", domain: "a.test" }, { ...may, ignoresPublished: true }, "gw", ""),
    connectionKey({ kind: "mx", domain: "a.test" }, may, "client", ""),
    connectionKey({ kind: "mx", domain: "a.test" }, may, "gw", "192.0.2.7"),
    connectionKey(relay(), may, "gw", ""),
    connectionKey(relay({ user: "a", password: "b c" }), may, "gw", ""),
    connectionKey(relay({ user: "a b", password: "c" }), may, "gw", ""),
  ];
  assert.equal(new Set(keys).size, keys.length);
});
