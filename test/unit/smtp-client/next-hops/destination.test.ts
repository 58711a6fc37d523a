import assert from "node:assert/strict";
import { test } from "node:test";
import { identifyNextHop, type NextHop } from "../../../../shared/routing/next-hop.ts";
import {
  type ConnectionTraits,
  connectionKey,
  destinationLimits,
  reachabilityKeyOf,
  tlsLevels,
} from "../../../../shared/smtp-client/next-hops/destination.ts";
import { testConfig } from "../../../support/config.ts";

test("the first entry of limits.destinations that matches holds", () => {
  const config = testConfig({
    limits: {
      destinations: [
        { match: "gmail.com", connections: 10, rate: "600/1m", burst: 20 },
        { match: "*.example.com", messages_per_connection: 5 },
        { match: "*", connections: 3, messages_per_connection: 7 },
      ],
    },
  });
  const limitsOf = destinationLimits(config.limits.destinations);
  assert.deepEqual(limitsOf("gmail.com"), {
    connections: 10,
    messagesPerConnection: 100,
    rate: { count: 600, periodMs: 60_000, burst: 20 },
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

const may = { level: "may", requireTls: false, ignoresPublished: false } as const;

test("a connection is shared only where next hop, TLS, credentials, HELO name and source are equal", () => {
  const relay = (auth?: { user: string; password: string }): NextHop => ({
    kind: "relay",
    relay: { name: "isp", host: "smtp.isp.test", port: 587, tls: "may", ...(auth && { auth }) },
  });
  const keyOf = (nextHop: NextHop, given: Partial<ConnectionTraits> = {}) =>
    connectionKey(identifyNextHop(nextHop), { tls: may, helo: "gw", source: "", ...given });
  const keys = [
    keyOf({ kind: "mx", domain: "a.test" }),
    keyOf({ kind: "mx", domain: "b.test" }),
    keyOf({ kind: "mx", domain: "a.test" }, { tls: { ...may, level: "verify" } }),
    keyOf({ kind: "mx", domain: "a.test" }, { tls: { ...may, level: "verify", requireTls: true } }),
    keyOf({ kind: "mx", domain: "a.test" }, { tls: { ...may, ignoresPublished: true } }),
    keyOf({ kind: "mx", domain: "a.test" }, { helo: "client" }),
    keyOf({ kind: "mx", domain: "a.test" }, { source: "192.0.2.7" }),
    keyOf(relay()),
    keyOf(relay({ user: "a", password: "b c" })),
    keyOf(relay({ user: "a b", password: "c" })),
  ];
  assert.equal(new Set(keys).size, keys.length);
});

test("reachability is remembered by hosts, and by the client's address where a delivery is hidden", () => {
  const mx = identifyNextHop({ kind: "mx", domain: "a.test" });
  assert.equal(reachabilityKeyOf(mx, { source: "", isInline: false }), "mx a.test");
  assert.equal(reachabilityKeyOf(mx, { source: "192.0.2.7", isInline: false }), "mx a.test from 192.0.2.7");
  assert.equal(reachabilityKeyOf(mx, { source: "", isInline: true }), "mx a.test inline");
});
