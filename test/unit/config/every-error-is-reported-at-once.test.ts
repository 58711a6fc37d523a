import assert from "node:assert/strict";
import { test } from "node:test";
import { formatConfigError } from "../../../shared/config/config-error.ts";
import { readConfig } from "../../../shared/config/load.ts";

/** One line for each error, as `LINE: path: message`. */
function errorsIn(text: string, env: Record<string, string> = {}): string[] {
  const read = readConfig(text, "/nowhere", env);
  if (read.kind === "ok") return [];
  return read.configErrors.map((configError) => formatConfigError("", configError).slice(1));
}

const whole = (rest: string) => `hostname: gw.example.net\nlisteners: [{ name: a, port: 25 }]\n${rest}`;

test("hosts that no resolver knows are errors, wherever they stand", () => {
  const notServer = "is not a server: write 203.0.113.25:25, [2001:db8::25]:25 or mail.example.com:25";
  assert.deepEqual(
    errorsIn(
      whole(`redis: { url: "redis://300.1.1.1:6379/0" }
protected:
  - { domains: ["bad_host!"], servers: ["300.1.1.1:25", "bad_host!"] }
relay:
  hosts:
    isp: { host: 300.1.1.1 }
  routes: [{ to: "*@bad!", via: "300.1.1.1:25" }]
limits: { destinations: [{ match: 300.1.1.1 }] }
`),
    ),
    [
      "3: redis.url: names no host: write redis://host:6379/0, rediss://… or unix:///path",
      "5: protected[0].domains[0]: is not a domain: write example.com or *.example.com",
      `5: protected[0].servers[0]: ${notServer}`,
      `5: protected[0].servers[1]: ${notServer}`,
      "8: relay.hosts.isp.host: is not a host: write a name or an IP address without brackets; the port stands in `port`",
      "9: relay.routes[0].to: is not an address pattern: write user@example.com, *@example.com, *@*.example.com, <> or *",
      "10: limits.destinations[0].match: is not a destination: write example.com, *.example.com, *, 192.0.2.25 or 2001:db8::25",
    ],
  );
  assert.deepEqual(errorsIn(whole(`relay: { routes: [{ to: "*", via: "300.1.1.1:25" }] }\n`)), [
    "3: relay.routes[0].via: names nothing: write a name of relay.hosts, host:port, [v6]:port or mx",
  ]);
});

test("errors of every kind are reported together, in the order of the lines", () => {
  assert.deepEqual(
    errorsIn(`hostnam: gw.example.net
data: ""
tls: { cert: nope.pem, key: nope.key }
listeners:
  - name: in front
    port: "25"
    shadow:
    pickup: { incoming: allow }
  - { name: behind, port: 70000, destination: proxy }
  - { name: behind, port: 2525 }
  - { name: again, address: 127.0.0.1, port: 2525 }
protected:
  - { domains: [example.com, "exa mple"], servers: ["203.0.113.25:smtp"] }
outgoing:
  exceptions: [{ client_server: permit }]
queue: { expire: 5, slow_afer: 3 }
relay:
  hosts:
    mx: { host: smtp.example }
    isp: { host: smtp.isp.example, port: 0, auth: { user: u, password: "\${NOT_SET}" } }
  routes:
    - { to: "*@partner.example", via: isp }
    - { to: "*", via: ips }
    - { via: mx }
limits: { recipients: many }
`),
    [
      "1: hostname: is missing",
      "1: hostnam: is not a known key; did you mean hostname?",
      "2: data: is empty",
      "3: tls.cert: /nowhere/nope.pem does not exist",
      "3: tls.key: /nowhere/nope.key does not exist",
      "5: listeners[0].name: is not a name: letters, digits, '.', '-' and '_' only",
      "6: listeners[0].port: must be a whole number from 0 to 65535, without quotes",
      "7: listeners[0].shadow: has no value: give true or false, or take the key out",
      "8: listeners[0].pickup.incoming: must be proxy, pass or drop",
      "9: listeners[1].port: must be a whole number from 0 to 65535",
      "9: listeners[1].trusted_proxies: must name at least one proxy: with `destination: proxy` nobody else is let in",
      "10: listeners[2].name: is the name of two listeners (listeners[1].name, line 9)",
      "11: listeners[3].port: is taken: 0.0.0.0 port 2525 has its listener (listeners[2].port, line 10)",
      "13: protected[0].domains[1]: is not a domain: write example.com or *.example.com",
      "13: protected[0].servers[0]: is not a server: write 203.0.113.25:25, [2001:db8::25]:25 or mail.example.com:25",
      "15: outgoing.exceptions[0]: needs `clients`, `servers` or both",
      "16: queue.expire: must be a duration such as 30s, 5m, 4h, 5d or 0",
      "16: queue.slow_afer: is not a known key; did you mean slow_after?",
      "19: relay.hosts.mx: is not a relay host's name: letters, digits, '-' and '_' only, and not 'mx'",
      "20: relay.hosts.isp.auth.password: takes the environment variable NOT_SET, which is not set",
      "20: relay.hosts.isp.port: must be a whole number from 1 to 65535",
      "23: relay.routes[1].via: names nothing: write a name of relay.hosts (mx, isp), host:port, [v6]:port or mx",
      "24: relay.routes[2]: needs `to`, `from` or both",
      "25: limits.recipients: must be a whole number, 1 or more",
    ],
  );
});

test("list entries that are wrong do not shift the places of the others", () => {
  assert.deepEqual(
    errorsIn(
      whole(`relay:
  routes:
    - { to: 7, via: mx }
    - { to: "*", via: mx }
    - { to: "*", via: nobody }
protected:
  - { domains: [] , servers: ["192.0.2.1"] }
  - { domains: [example.com], servers: ["192.0.2.1"] }
  - { domains: [example.org, EXAMPLE.COM], servers: ["192.0.2.1"] }
`),
    ),
    [
      "5: relay.routes[0].to: must be an address pattern such as user@example.com or *@example.com, or *",
      "7: relay.routes[2].via: names nothing: write a name of relay.hosts, host:port, [v6]:port or mx",
      "9: protected[0].domains: must have at least one entry",
      "11: protected[2].domains[1]: is protected already (protected[1].domains[0], line 10)",
    ],
  );
});

const oneError: [what: string, yaml: string, configError: string][] = [
  [
    "a relay host that does not exist",
    'relay: { routes: [{ to: "*", via: isp }] }',
    "3: relay.routes[0].via: names nothing: write a name of relay.hosts, host:port, [v6]:port or mx",
  ],
  [
    "a backup without a port",
    "relay: { backup: { via: smtp.isp.example } }",
    "3: relay.backup.via: names nothing: write a name of relay.hosts, host:port, [v6]:port or mx",
  ],
  [
    "a relay host with its port in the name",
    "relay: { hosts: { isp: { host: 'smtp.isp.example:587' } } }",
    "3: relay.hosts.isp.host: is not a host: write a name or an IP address without brackets; the port stands in `port`",
  ],
  [
    "sentinels without the group's name",
    "redis: { sentinels: ['127.0.0.1:26379'] }",
    "3: redis.name: is missing: redis.sentinels needs the group's name",
  ],
  [
    "two ways to Redis",
    "redis: { url: 'redis://127.0.0.1', cluster: ['127.0.0.1:7000'] }",
    "3: redis.cluster: cannot stand beside redis.url: give one of them",
  ],
  ["no way to Redis", "redis: { username: postern }", "3: redis: needs url, sentinels or cluster"],
  [
    "half a certificate towards Redis",
    "redis: { url: 'rediss://127.0.0.1', tls: { key: k.pem } }",
    "3: redis.tls.cert: is missing: redis.tls.key needs it",
  ],
  [
    "a name server that is a name",
    "dns: { servers: [127.0.0.1, '[::1]:53', ns.example] }",
    "3: dns.servers[2]: is not a name server: write 192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53",
  ],
  [
    "a source address that is none",
    "delivery: { source_addresses: [192.0.2.1, 192.0.2.256] }",
    "3: delivery.source_addresses[1]: is not an IP address",
  ],
  [
    "a listening address that is a name",
    "admin: { address: localhost }",
    "3: admin.address: is not an IP address",
  ],
  [
    "the port of a listener for the admin",
    "admin: { address: 127.0.0.1, port: 25 }",
    "3: admin.port: is taken: 0.0.0.0 port 25 has its listener (listeners[0].port, line 2)",
  ],
  [
    "a DSN sender without a domain",
    "dsn: { from: MAILER-DAEMON }",
    "3: dsn.from: is not an address: write user@example.com",
  ],
  [
    "an own address that is a network",
    "own_addresses: [192.0.2.7, 192.0.2.0/24]",
    "3: own_addresses[1]: is not an IP address",
  ],
  [
    "a postmaster without a domain",
    "postmaster: root",
    "3: postmaster: is not an address: write user@example.com",
  ],
  [
    "a postmaster on the gateway, which has no mailboxes",
    "postmaster: root@gw.example.net",
    "3: postmaster: leads back to this gateway: name a mailbox on another server, or a route for it in relay.routes",
  ],
  ["a retry without a wait", "queue: { retry: [5m, 0] }", "3: queue.retry[1]: must be longer than 0"],
  [
    "a time-out that no timer can wait",
    "timeouts: { tunnel: 30d }",
    "3: timeouts.tunnel: must be longer than 0 and at most 24d",
  ],
  [
    "a burst without the rate that it belongs to",
    "limits: { destinations: [{ match: '*', burst: 10 }] }",
    "3: limits.destinations[0].burst: needs a rate beside it",
  ],
  [
    "a network with a wrong prefix",
    "relay: { clients: [192.0.2.0/33] }",
    "3: relay.clients[0]: is not a network: the prefix length goes from 0 to 32",
  ],
  ["a key given twice", "data: a\ndata: b", "4: data: is given twice"],
  ["a number where text is wanted", "dsn: { name: 12 }", "3: dsn.name: must be text: put it in quotes"],
  ["a choice that is none", "outgoing: { on_failure: hang }", "3: outgoing.on_failure: must be drop or 421"],
  ["a mapping where a list is wanted", "protected: {}", "3: protected: must be a list"],
  [
    "text where a mapping is wanted",
    "dns: 127.0.0.1",
    "3: dns: must be a mapping with the keys servers, trust_ad",
  ],
  [
    "a rate without a time",
    "limits: { clients: { rate: 100/ } }",
    "3: limits.clients.rate: is not a rate: write 100/1m",
  ],
];

for (const [what, yaml, configError] of oneError) {
  test(`${what} is an error with its place`, () => {
    assert.deepEqual(errorsIn(whole(yaml)), [configError]);
  });
}

test("an error does not cause another in a value that depends on it", () => {
  const brief = (yaml: string) => errorsIn(yaml).map((configError) => configError.split(":")[1]?.trim());
  assert.deepEqual(
    brief(
      "hostname: gw\nlisteners: [{ name: a, port: 25, destination: proxy, trusted_proxies: [localhost] }]",
    ),
    ["listeners[0].trusted_proxies[0]"],
  );
  assert.deepEqual(brief(whole("redis: { url: 127.0.0.1 }")), ["redis.url"]);
  assert.deepEqual(
    brief(whole('relay: { hosts: { isp: { host: h, prot: 1 } }, routes: [{ to: "*", via: isp }] }')),
    ["relay.hosts.isp.prot"],
  );
});

test("a shadow listener must have another server to tunnel to", () => {
  assert.deepEqual(errorsIn("hostname: gw\nlisteners: [{ name: a, port: 25, shadow: true }]"), [
    "2: listeners[0].shadow: needs connections that were meant for another server: this listener's destination is self",
  ]);
});

test("IPv4 and IPv6 may share a port, and port 0 is shared by all", () => {
  assert.deepEqual(
    errorsIn(`hostname: gw
listeners:
  - { name: a, port: 25 }
  - { name: b, address: "::1", port: 25 }
  - { name: c, port: 0 }
  - { name: d, port: 0 }
`),
    [],
  );
});

test("invalid YAML is reported once, at its line", () => {
  const configErrors = errorsIn("hostname: gw\nlisteners: [{ name: a, port: 25 }\nadmin: {}\nqueue: {}\n");
  assert.equal(configErrors.length, 1);
  assert.match(configErrors[0] ?? "", /^3: is not YAML: /);
});

test("a file that is empty or no mapping says so", () => {
  assert.deepEqual(errorsIn("# nothing\n"), ["1: is empty: it needs hostname and listeners"]);
  assert.deepEqual(errorsIn("- hostname\n"), ["1: is not a mapping: it needs `key: value` lines"]);
});

test("keys with the names of object members are unknown keys", () => {
  for (const key of ["__proto__", "constructor", "toString"]) {
    const configErrors = errorsIn(whole(`${key}: { a: 1 }`));
    assert.equal(configErrors.length, 1, key);
    assert.ok(configErrors[0]?.startsWith(`3: ${key}: is not a known key`), configErrors[0]);
  }
});

test("a configuration of nothing but errors is checked in finite time", () => {
  const routes = Array.from({ length: 2000 }, () => "    - { to: 1, via: 2, x: 3 }").join("\n");
  assert.ok(errorsIn(whole(`relay:\n  routes:\n${routes}\n`)).length >= 4000);
});

test("two tokens of the admin have neither the same name nor the same secret", () => {
  const tokens = `admin:
  token: one
  tokens:
    - { name: admin, token: two }
    - { name: oncall, token: one, scopes: [read, write] }
    - { name: oncall, token: three }
    - { name: "on call", token: four, scopes: [delete] }
`;
  assert.deepEqual(errorsIn(whole(tokens)), [
    "6: admin.tokens[0].name: is the name of two tokens (admin.token, line 4)",
    "7: admin.tokens[1].token: is used twice (admin.token, line 4)",
    "8: admin.tokens[2].name: is the name of two tokens (admin.tokens[1].name, line 7)",
    "9: admin.tokens[3].name: must be 1 to 64 letters, digits and . _ - @",
    "9: admin.tokens[3].scopes[0]: must be read, content or write",
  ]);
});
