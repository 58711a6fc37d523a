import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../../shared/config/load.ts";

import { parseEndpoint } from "../../../shared/net/endpoint.ts";

test("a configuration with every section is read: milliseconds, octets, networks, servers", () => {
  const read = readConfig(
    `
hostname: gw.example.net
data: ./data
redis: { url: "redis://127.0.0.1:6379/0" }
dns: { servers: ["127.0.0.1:53"] }
listeners:
  - name: transparent
    address: 0.0.0.0
    port: 10025
    destination: tproxy
    trusted_proxies: [127.0.0.1]
    pickup: { incoming: proxy, outgoing: pass, local: reject }
    shadow: false
    bare_newline: refuse
  - { name: submission, port: 2525, destination: self }
intercept: { interfaces: [eth1], ports: [25, 587], pass_ports: [465], fail: closed }
protected:
  - domains: [Example.com, "*.example.com"]
    servers: ["203.0.113.25:25", "[2001:db8::25]"]
    use_server_for_outgoing: true
    hide: true
outgoing:
  on_failure: 421
  exceptions:
    - { clients: [198.51.100.0/24], servers: ["2001:db8::/32"], client_server: insist }
relay:
  hosts:
    isp: { host: smtp.isp.example, port: 587, tls: require, auth: { user: u, password: p } }
  routes:
    - { to: "*@partner.example", via: isp }
    - { from: "<>", via: "[2001:db8::9]:2525" }
  backup: { via: isp, after: 0, on: [5xx] }
queue: { retry: [90s, 5m], expire: 5d, dsn_expire: 0, delay_warning: "0" }
dsn: { from: "MAILER-DAEMON@gw.example.net", attach: full, max_attach: 64KB }
limits:
  message: 50MB
  clients: { connections: 50, rate: "100/1m" }
  destinations: [{ match: "*", rate: 600/h }]
admin: { address: 127.0.0.1, port: 8025, token: t }
`,
    "/etc/postern",
    {},
  );
  assert.ok(read.kind === "ok", JSON.stringify(read));
  const { config } = read;
  assert.deepEqual(config.listeners[0]?.pickup, { incoming: "proxy", outgoing: "pass", local: "reject" });
  assert.deepEqual(config.listeners[1]?.pickup, { incoming: "proxy", outgoing: "proxy", local: "allow" });
  assert.deepEqual(config.protected[0]?.domains, ["example.com", "*.example.com"]);
  assert.deepEqual(config.protected[0]?.servers, [
    { host: "203.0.113.25", port: 25 },
    { host: "2001:db8::25", port: 25 },
  ]);
  assert.equal(config.outgoing.on_failure, "421");
  const [exception] = config.outgoing.exceptions;
  assert.equal(exception?.clients?.[0]?.contains("198.51.100.7"), true);
  assert.equal(exception?.clients?.[0]?.contains("198.51.101.7"), false);
  assert.equal(exception?.servers?.[0]?.contains("2001:db8:1::1"), true);
  assert.deepEqual(config.queue.retry, [90_000, 300_000]);
  assert.deepEqual(
    [config.queue.expire, config.queue.dsn_expire, config.queue.delay_warning],
    [432_000_000, 0, 0],
  );
  assert.equal(config.dsn.max_attach, 65_536);
  assert.equal(config.limits.message, 52_428_800);
  assert.deepEqual(config.limits.clients.rate, { count: 100, periodMs: 60_000 });
  assert.deepEqual(config.limits.destinations[0]?.rate, { count: 600, periodMs: 3_600_000 });
  assert.equal(config.relay.backup?.after, 0);
});

test("an endpoint is an address with or without a port, IPv6 in brackets where a port follows", () => {
  const read = (text: string) => {
    const endpoint = parseEndpoint(text, 53);
    return endpoint === undefined ? undefined : `${endpoint.address} ${endpoint.port}`;
  };
  assert.equal(read("192.0.2.1"), "192.0.2.1 53");
  assert.equal(read("192.0.2.1:5353"), "192.0.2.1 5353");
  assert.equal(read("2001:DB8::1"), "2001:db8::1 53");
  assert.equal(read("[2001:db8::1]:5353"), "2001:db8::1 5353");
  assert.equal(read("[2001:db8::1]"), "2001:db8::1 53");
  assert.equal(read("::ffff:192.0.2.1"), "192.0.2.1 53");
  for (const wrong of [
    "",
    "ns.example",
    "192.0.2.1:0",
    "192.0.2.1:65536",
    "[192.0.2.1]:53",
    "192.0.2:53",
    "[::1",
    ":53",
  ]) {
    assert.equal(read(wrong), undefined, wrong);
  }
});

test("a destination is *, a domain, or an address; anything else is said to be none, with its path", () => {
  const configErrors = (match: string) => {
    const lines = [
      "hostname: gw.test",
      "listeners: [{ name: mail, port: 2525, destination: self }]",
      "limits:",
      "  destinations:",
    ];
    const text = `${lines.join("\n")}\n    - match: ${JSON.stringify(match)}\n`;
    const read = readConfig(text, "/", {});
    return read.kind === "ok" ? [] : read.configErrors.map(({ path, line }) => `${line} ${path}`);
  };
  const names = ["*", "example.com", "*.Example.com", "münchen.test"];
  const addresses = ["192.0.2.25", "2001:DB8::25", "[192.0.2.25]", "[2001:db8::25]", "[IPv6:2001:db8::25]"];
  for (const match of [...names, ...addresses]) assert.deepEqual(configErrors(match), [], match);
  const noNames = ["", "a b", "a@b.test", "10.0.0.0/8", "*.*", "host:25", "[example.com]"];
  const noAddresses = [
    "1:2",
    "[192.0.2]",
    "[2001:db8::25",
    "2001:db8::25]",
    "2001:db8::g",
    "[2001:db8::25]:25",
  ];
  for (const match of [...noNames, ...noAddresses])
    assert.deepEqual(configErrors(match), ["5 limits.destinations[0].match"], match);
});
