import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig } from "../../../shared/config/load.ts";

/** The warnings of a valid configuration, as `LINE: path: message`. */
function warningsIn(rest: string): string[] {
  const text = `hostname: gw.example.net\nlisteners: [{ name: a, port: 25 }]\n${rest}`;
  const read = readConfig(text, "/nowhere", {});
  assert.equal(read.kind, "ok");
  return read.kind === "ok"
    ? read.warnings.map(({ line, path, message }) => `${line}: ${path}: ${message}`)
    : [];
}

const never = "can never match, since an earlier entry always does";

test("a route behind one that takes the same mail can never match", () => {
  assert.deepEqual(
    warningsIn(`relay:
  routes:
    - { to: "*@example.com", via: "192.0.2.1:25" }
    - { to: "User@EXAMPLE.com", from: "*@example.net", via: mx }
    - { from: "<>", via: mx }
    - { to: "*@*.example.org", via: mx }
    - { to: "*@a.example.org", via: mx }
    - { to: "*@example.org", from: "<>", via: mx }
    - { to: "*@example.org", via: mx }
    - { to: "*", via: mx }
    - { to: "*@münchen.example", via: mx }
`),
    [
      `6: relay.routes[1]: ${never} (relay.routes[0], line 5)`,
      `9: relay.routes[4]: ${never} (relay.routes[3], line 8)`,
      `10: relay.routes[5]: ${never} (relay.routes[2], line 7)`,
      `13: relay.routes[8]: ${never} (relay.routes[7], line 12)`,
    ],
  );
});

test("so it is with the TLS of destinations, with addresses in any spelling and domains in any alphabet", () => {
  assert.deepEqual(
    warningsIn(`delivery:
  tls:
    - { match: "*.example.com", policy: none }
    - { match: example.com, policy: may }
    - { match: "*.a.example.com", policy: may }
    - { match: "2001:db8::1", policy: may }
    - { match: "[IPv6:2001:db8:0::1]", policy: may }
    - { match: münchen.example, policy: may }
    - { match: xn--mnchen-3ya.example, policy: may }
`),
    [
      `7: delivery.tls[2]: ${never} (delivery.tls[0], line 5)`,
      `9: delivery.tls[4]: ${never} (delivery.tls[3], line 8)`,
      `11: delivery.tls[6]: ${never} (delivery.tls[5], line 10)`,
    ],
  );
});

test("a limit behind * still limits hosts of its name, and the warning says so", () => {
  assert.deepEqual(
    warningsIn(`limits:
  destinations:
    - { match: "*", connections: 20 }
    - { match: gmail.com, connections: 10 }
    - { match: gmail.com, connections: 5 }
`),
    [
      "6: limits.destinations[1]: limits no destination, since an earlier entry always matches, but only a host of that name (limits.destinations[0], line 5)",
      "7: limits.destinations[2]: limits no destination, since an earlier entry always matches, but only a host of that name (limits.destinations[0], line 5)",
    ],
  );
});

test("an exception for networks within those of an earlier one can never match", () => {
  assert.deepEqual(
    warningsIn(`outgoing:
  exceptions:
    - { clients: [192.0.2.0/24, "2001:db8::/32"], client_server: insist }
    - { clients: [192.0.2.128/25, "2001:db8:1::/48"], servers: [198.51.100.1], client_server: permit }
    - { clients: [192.0.0.0/16], client_server: permit }
    - { servers: [198.51.100.0/24], client_server: permit }
`),
    [`6: outgoing.exceptions[1]: ${never} (outgoing.exceptions[0], line 5)`],
  );
});

test("the usual order, from the special to the general, gives no warning", () => {
  assert.deepEqual(
    warningsIn(`relay:
  routes:
    - { to: "user@example.com", via: mx }
    - { to: "*@example.com", via: mx }
    - { to: "*@a.example.com", via: mx }
    - { to: "*@*.example.com", via: mx }
    - { to: "*", from: "*@example.net", via: mx }
    - { to: "*", via: mx }
limits:
  destinations: [{ match: gmail.com }, { match: "*.example.com" }, { match: example.com }, { match: "*" }]
`),
    [],
  );
});
