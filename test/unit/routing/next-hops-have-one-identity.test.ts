import assert from "node:assert/strict";
import { test } from "node:test";
import { identifyNextHop, type NextHop, type NextHopIdentity } from "../../../shared/routing/next-hop.ts";

const mx: NextHop = { kind: "mx", domain: "Example.org" };
const relay = (name: string, auth?: { user: string; password: string }): NextHop => ({
  kind: "relay",
  relay: { name, host: "SMTP.isp.test", port: 587, tls: "may", ...(auth && { auth }) },
});
const host: NextHop = { kind: "host", host: { host: "2001:db8::1", port: 2525 } };
const servers = (hide: boolean, tls?: "require"): NextHop => ({
  kind: "servers",
  servers: [
    { host: "192.0.2.9", port: 25 },
    { host: "mail.Example.com", port: 26 },
  ],
  hide,
  ...(tls && { tls }),
});

test("every kind of next hop has a label, a name for limits, aliases and keys", () => {
  const hops: [NextHop, NextHopIdentity][] = [
    [
      mx,
      {
        label: "mx Example.org",
        limitName: "example.org",
        aliases: ["example.org"],
        groupKey: "mx Example.org",
        hostsKey: "mx example.org",
        connectionKey: "mx example.org",
      },
    ],
    [
      relay("Isp"),
      {
        label: "Isp (SMTP.isp.test:587)",
        limitName: "smtp.isp.test",
        aliases: ["isp", "smtp.isp.test:587", "smtp.isp.test"],
        groupKey: "relay Isp",
        hostsKey: "smtp.isp.test:587",
        connectionKey: "smtp.isp.test:587 ",
      },
    ],
    [
      host,
      {
        label: "[2001:db8::1]:2525",
        limitName: "2001:db8::1",
        aliases: ["[2001:db8::1]:2525", "2001:db8::1"],
        groupKey: "host [2001:db8::1]:2525",
        hostsKey: "2001:db8::1:2525",
        connectionKey: "2001:db8::1:2525",
      },
    ],
    [
      servers(true),
      {
        label: "192.0.2.9:25, mail.Example.com:26",
        limitName: "192.0.2.9",
        aliases: ["192.0.2.9:25", "192.0.2.9", "mail.example.com:26", "mail.example.com"],
        groupKey: "servers 192.0.2.9:25,mail.Example.com:26 true may",
        hostsKey: "192.0.2.9:25,mail.example.com:26",
        connectionKey: "192.0.2.9:25,mail.example.com:26",
      },
    ],
  ];
  for (const [hop, identity] of hops) {
    assert.deepEqual(identifyNextHop(hop), identity);
    assert.deepEqual(identifyNextHop(structuredClone(hop)), identity);
  }
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
  for (const [hop, name] of hops) assert.equal(identifyNextHop(hop).limitName, name);
});

test("recipients share a job only where the whole setting is the same", () => {
  const hops = [
    mx,
    relay("isp"),
    relay("other"),
    host,
    servers(false),
    servers(true),
    servers(true, "require"),
  ];
  assert.equal(new Set(hops.map((hop) => identifyNextHop(hop).groupKey)).size, hops.length);
});

test("credentials are in the key of a connection and in nothing else", () => {
  const a = identifyNextHop(relay("isp", { user: "a", password: "b c" }));
  const b = identifyNextHop(relay("isp", { user: "a b", password: "c" }));
  assert.notEqual(a.connectionKey, b.connectionKey);
  const { connectionKey: _a, ...shownOfA } = a;
  const { connectionKey: _b, ...shownOfB } = b;
  assert.deepEqual(shownOfA, shownOfB);
  assert.ok(!JSON.stringify(shownOfA).includes("b c"));
});
