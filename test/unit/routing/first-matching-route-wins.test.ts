import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import type { configSchema } from "../../../shared/config/schema.ts";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";
import { groupByNextHop, summarizeRoute } from "../../../shared/routing/route.ts";
import { testConfig } from "../../support/config.ts";

type Relay = NonNullable<z.input<typeof configSchema>["relay"]>;

const hosts = {
  isp: { host: "smtp.isp.example", port: 587, tls: "require" as const, auth: { user: "u", password: "p" } },
  backup: { host: "backup.example" },
};

function routeOf(routes: Relay["routes"], from: string, to: string): string {
  const { nextHop, setting } = compileRouting(testConfig({ relay: { hosts, routes } })).routeRecipient(
    null,
    from,
    to,
  );
  return `${identifyNextHop(nextHop).label} ${setting}`;
}

const mx = "mx else.example relay.routes";

const cases: [what: string, routes: Relay["routes"], from: string, to: string, routeOf: string][] = [
  ["no routes: the MX of the recipient's domain", [], "a@b.example", "joe@Else.Example", mx],
  [
    "a name of hosts",
    [{ to: "*", via: "isp" }],
    "",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "host:port",
    [{ to: "*", via: "192.0.2.9:2525" }],
    "",
    "joe@else.example",
    "192.0.2.9:2525 relay.routes[0].via",
  ],
  [
    "[v6]:port",
    [{ to: "*", via: "[2001:db8::9]:26" }],
    "",
    "joe@else.example",
    "[2001:db8::9]:26 relay.routes[0].via",
  ],
  ["mx", [{ to: "*", via: "mx" }], "", "joe@else.example", "mx else.example relay.routes[0].via"],
  [
    "a whole domain",
    [{ to: "*@else.example", via: "isp" }],
    "",
    "joe@ELSE.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "a domain is not what lies below it",
    [{ to: "*@else.example", via: "isp" }],
    "",
    "joe@a.else.example",
    "mx a.else.example relay.routes",
  ],
  [
    "below a domain",
    [{ to: "*@*.else.example", via: "isp" }],
    "",
    "joe@a.b.else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  ["below a domain is not the domain", [{ to: "*@*.else.example", via: "isp" }], "", "joe@else.example", mx],
  [
    "one address",
    [{ to: "Joe@else.example", via: "isp" }],
    "",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  ["one address is not another", [{ to: "joe@else.example", via: "isp" }], "", "joey@else.example", mx],
  [
    "quotes that are not needed",
    [{ to: "joe@else.example", via: "isp" }],
    "",
    '"jo\\e"@else.example',
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "Unicode in the rule",
    [{ to: "*@bücher.example", via: "isp" }],
    "",
    "joe@xn--bcher-kva.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "the sender",
    [{ from: "*@hr.example.com", via: "isp" }],
    "ann@hr.example.com",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "another sender",
    [{ from: "*@hr.example.com", via: "isp" }],
    "ann@it.example.com",
    "joe@else.example",
    mx,
  ],
  [
    "the null sender",
    [{ from: "<>", via: "isp" }],
    "",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  ["the null sender is of no domain", [{ from: "*@gw.example.net", via: "isp" }], "", "joe@else.example", mx],
  [
    "every sender, the null sender too",
    [{ from: "*", via: "isp" }],
    "",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "sender and recipient must both match",
    [{ from: "*@a.example", to: "*@else.example", via: "isp" }],
    "x@b.example",
    "joe@else.example",
    mx,
  ],
  [
    "the first that matches, the general one first",
    [
      { to: "*", via: "backup" },
      { to: "*@else.example", via: "isp" },
    ],
    "",
    "joe@else.example",
    "backup (backup.example:25) relay.routes[0].via",
  ],
  [
    "the first that matches, the special one first",
    [
      { to: "*@else.example", via: "isp" },
      { to: "*", via: "backup" },
    ],
    "",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[0].via",
  ],
  [
    "the first of two for one domain",
    [
      { to: "ann@else.example", via: "mx" },
      { to: "*@else.example", via: "isp" },
      { to: "joe@else.example", via: "backup" },
    ],
    "",
    "joe@else.example",
    "isp (smtp.isp.example:587) relay.routes[1].via",
  ],
];

for (const [what, routes, from, to, expected] of cases) {
  test(`route: ${what}`, () => assert.equal(routeOf(routes, from, to), expected));
}

test("a relay host comes with its TLS level and its login", () => {
  const routing = compileRouting(testConfig({ relay: { hosts, routes: [{ to: "*", via: "isp" }] } }));
  assert.deepEqual(routing.routeRecipient(null, "", "joe@else.example").nextHop, {
    kind: "relay",
    relay: { name: "isp", ...hosts.isp },
  });
});

test("the backup takes any recipient by its own via", () => {
  const backupOf = (relay: Relay) => compileRouting(testConfig({ relay })).backupRoute("joe@Else.example");
  assert.equal(backupOf({}), undefined);
  assert.deepEqual(backupOf({ hosts, backup: { via: "192.0.2.9:26" } }), {
    nextHop: { kind: "host", host: { host: "192.0.2.9", port: 26 } },
    setting: "relay.backup.via",
  });
  assert.deepEqual(backupOf({ backup: { via: "mx" } })?.nextHop, { kind: "mx", domain: "else.example" });
});

test("recipients with one next hop go together, mail by MX by domain", () => {
  const routing = compileRouting(
    testConfig({
      protected: [
        { domains: ["example.com"], servers: ["203.0.113.25"] },
        { domains: ["example.org"], servers: ["203.0.113.25"] },
        { domains: ["hidden.example"], servers: ["203.0.113.25"], hide: true },
      ],
      relay: {
        hosts,
        routes: [
          { to: "*@partner.example", via: "isp" },
          { to: "*@other.example", via: "isp" },
        ],
      },
    }),
  );
  const recipients = [
    "a@else.example",
    "a@example.com",
    "a@partner.example",
    "b@ELSE.example",
    "b@example.org",
    "b@other.example",
    "a@hidden.example",
    "a@third.example",
  ];
  const groups = groupByNextHop(recipients.map((to) => routing.routeRecipient(null, "", to)));
  assert.deepEqual(
    groups.map(({ recipients, route }) => [recipients, summarizeRoute(route).label]),
    [
      [[0, 3], "relay via mx else.example"],
      [[1, 4], "to-protected via 203.0.113.25:25"],
      [[2, 5], "relay via isp (smtp.isp.example:587)"],
      [[6], "to-protected via 203.0.113.25:25"],
      [[7], "relay via mx third.example"],
    ],
  );
  assert.deepEqual(groupByNextHop([]), []);
});

test("the most specific pattern of a protected domain decides, in whatever order they stand", () => {
  const routing = compileRouting(
    testConfig({
      protected: [
        { domains: ["*.example.com"], servers: ["192.0.2.1"] },
        { domains: ["*.b.example.com"], servers: ["192.0.2.2"] },
        { domains: ["a.b.example.com"], servers: ["192.0.2.3"] },
      ],
    }),
  );
  const routeOf = (domain: string) => summarizeRoute(routing.routeRecipient(null, "", `joe@${domain}`)).label;
  assert.equal(routeOf("b.example.com"), "to-protected via 192.0.2.1:25");
  assert.equal(routeOf("c.b.example.com"), "to-protected via 192.0.2.2:25");
  assert.equal(routeOf("a.b.example.com"), "to-protected via 192.0.2.3:25");
  assert.equal(routeOf("x.a.b.example.com"), "to-protected via 192.0.2.2:25");
  assert.equal(routeOf("example.com"), "relay via mx example.com");
});
