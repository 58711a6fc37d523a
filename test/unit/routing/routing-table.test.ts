/** The routing table of docs/flow.md, row by row: what happens to a connection, and where its recipients go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { z } from "zod";
import type { configSchema } from "../../../shared/config/schema.ts";
import { compileRouting } from "../../../shared/routing/classify.ts";
import type { ConnectionDecision } from "../../../shared/routing/connection-decision.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";
import { testConfig } from "../../support/config.ts";

type Given = z.input<typeof configSchema>;

const client = "198.51.100.7";
const clientV6 = "2001:db8:c::7";
const unprotectedServer = "192.0.2.1:25";
const protectedServer = "203.0.113.25:25";
const gateway = "203.0.113.1:25";

const base = {
  listeners: [
    { name: "transparent", port: 25, destination: "tproxy" },
    { name: "submission", port: 587, destination: "self" },
  ],
  protected: [
    { domains: ["example.com", "*.example.com"], servers: ["203.0.113.25", "[2001:db8::25]:25"] },
    { domains: ["example.net"], servers: ["203.0.113.30:26"], use_server_for_outgoing: true, hide: true },
  ],
  relay: {
    clients: ["198.51.100.0/24", "2001:db8:c::/48"],
    hosts: { isp: { host: "smtp.isp.example", port: 587 } },
    routes: [{ to: "*@partner.example", via: "isp" }],
  },
} satisfies Partial<Given>;

function endpoint(text: string) {
  const at = text.lastIndexOf(":");
  return { address: text.slice(0, at).replace(/[[\]]/g, ""), port: Number(text.slice(at + 1)) };
}

function connect(
  given: Partial<Given>,
  from: string,
  to: string,
  more: { listener?: string; withoutDestination?: boolean } = {},
): ConnectionDecision {
  return compileRouting(testConfig({ ...base, ...given })).classifyConnection({
    client: { address: from, port: 40_000 },
    destination: endpoint(to),
    listener: more.listener ?? "transparent",
    ownAddresses: new Set(["127.0.0.1", "203.0.113.1", "2001:db8::1"]),
    ...(more.withoutDestination === undefined ? {} : { withoutDestination: more.withoutDestination }),
  });
}

const transparent = (listener: Partial<Given["listeners"][number]>): Partial<Given> => ({
  listeners: [{ name: "transparent", port: 25, destination: "tproxy", ...listener }],
});

interface ConnectionCase {
  what: string;
  given?: Partial<Given>;
  client?: string;
  server: string;
  listener?: string;
  withoutDestination?: boolean;
  is: [direction: string, handler: string, setting: string];
}

const connections: ConnectionCase[] = [
  {
    what: "a connection to a server that is not protected is outgoing, and permitted",
    server: unprotectedServer,
    is: ["outgoing", "outgoing-proxy", "outgoing.client_server"],
  },
  {
    what: "so over IPv6",
    client: clientV6,
    server: "[2001:db8:f::1]:25",
    is: ["outgoing", "outgoing-proxy", "outgoing.client_server"],
  },
  {
    what: "insist carries it through the queue",
    given: { outgoing: { client_server: "insist" } },
    server: unprotectedServer,
    is: ["outgoing", "queue", "outgoing.client_server"],
  },
  {
    what: "a connection to a protected server is incoming",
    server: protectedServer,
    is: ["incoming", "queue", "listeners[0].pickup.incoming"],
  },
  {
    what: "so over IPv6",
    server: "[2001:db8::25]:25",
    is: ["incoming", "queue", "listeners[0].pickup.incoming"],
  },
  {
    what: "the port must match too",
    server: "203.0.113.25:587",
    is: ["outgoing", "outgoing-proxy", "outgoing.client_server"],
  },
  {
    what: "a port that is not 25 matches as it is configured",
    server: "203.0.113.30:26",
    is: ["incoming", "queue", "listeners[0].pickup.incoming"],
  },
  {
    what: "a connection to the gateway's own address is local",
    server: gateway,
    is: ["local", "queue", "listeners[0].pickup.local"],
  },
  { what: "so over IPv6", server: "[2001:db8::1]:25", is: ["local", "queue", "listeners[0].pickup.local"] },
  {
    what: "a listener for the gateway itself has local connections only",
    server: unprotectedServer,
    listener: "submission",
    is: ["local", "queue", "listeners[1].pickup.local"],
  },
  {
    what: "a protected server wins over local",
    server: gateway,
    given: { protected: [{ domains: ["example.com"], servers: [gateway] }] },
    is: ["incoming", "queue", "listeners[0].pickup.incoming"],
  },
  {
    what: "PROXY LOCAL and UNKNOWN are local, whatever address the socket has",
    server: protectedServer,
    withoutDestination: true,
    is: ["local", "queue", "listeners[0].pickup.local"],
  },
  {
    what: "a protected server that is named by host name makes nothing incoming",
    server: unprotectedServer,
    given: { protected: [{ domains: ["example.com"], servers: ["mail.example.com"] }] },
    is: ["outgoing", "outgoing-proxy", "outgoing.client_server"],
  },

  {
    what: "pickup incoming: pass tunnels",
    given: transparent({ pickup: { incoming: "pass" } }),
    server: protectedServer,
    is: ["incoming", "tunnel", "listeners[0].pickup.incoming"],
  },
  {
    what: "pickup incoming: drop closes",
    given: transparent({ pickup: { incoming: "drop" } }),
    server: protectedServer,
    is: ["incoming", "drop", "listeners[0].pickup.incoming"],
  },
  {
    what: "pickup outgoing: pass tunnels",
    given: transparent({ pickup: { outgoing: "pass" } }),
    server: unprotectedServer,
    is: ["outgoing", "tunnel", "listeners[0].pickup.outgoing"],
  },
  {
    what: "pickup outgoing: drop closes",
    given: transparent({ pickup: { outgoing: "drop" } }),
    server: unprotectedServer,
    is: ["outgoing", "drop", "listeners[0].pickup.outgoing"],
  },
  {
    what: "pickup local: reject refuses",
    given: transparent({ pickup: { local: "reject" } }),
    server: gateway,
    is: ["local", "reject", "listeners[0].pickup.local"],
  },
  {
    what: "a port of intercept.pass_ports is tunnelled",
    server: "192.0.2.25:465",
    is: ["outgoing", "tunnel", "intercept.pass_ports"],
  },
  ...(["tproxy", "redirect", "proxy"] as const).map(
    (destination): ConnectionCase => ({
      what: `so where the destination comes from ${destination}`,
      given: transparent({
        destination,
        ...(destination === "proxy" ? { trusted_proxies: ["127.0.0.1"] } : {}),
      }),
      server: "192.0.2.25:465",
      is: ["outgoing", "tunnel", "intercept.pass_ports"],
    }),
  ),
  {
    what: "behind a PROXY header, a port of intercept.pass_ports of the gateway itself is no tunnel to it",
    given: transparent({ destination: "proxy", trusted_proxies: ["127.0.0.1"] }),
    server: "203.0.113.1:465",
    is: ["local", "queue", "listeners[0].pickup.local"],
  },
  {
    what: "a port of intercept.pass_ports is dropped all the same where pickup says so",
    given: transparent({ pickup: { outgoing: "drop" } }),
    server: "192.0.2.25:465",
    is: ["outgoing", "drop", "listeners[0].pickup.outgoing"],
  },
  {
    what: "pickup of one direction leaves the others alone",
    given: transparent({ pickup: { outgoing: "drop" } }),
    server: protectedServer,
    is: ["incoming", "queue", "listeners[0].pickup.incoming"],
  },
  {
    what: "pickup wins over an exception",
    server: unprotectedServer,
    given: {
      ...transparent({ pickup: { outgoing: "pass" } }),
      outgoing: { exceptions: [{ clients: [client], client_server: "insist" }] },
    },
    is: ["outgoing", "tunnel", "listeners[0].pickup.outgoing"],
  },

  {
    what: "shadow tunnels outgoing connections",
    given: transparent({ shadow: true }),
    server: unprotectedServer,
    is: ["outgoing", "tunnel", "listeners[0].shadow"],
  },
  {
    what: "shadow tunnels incoming connections",
    given: transparent({ shadow: true }),
    server: protectedServer,
    is: ["incoming", "tunnel", "listeners[0].shadow"],
  },
  {
    what: "shadow has no server to tunnel local connections to",
    given: transparent({ shadow: true }),
    server: gateway,
    is: ["local", "queue", "listeners[0].pickup.local"],
  },

  {
    what: "an exception for clients",
    given: { outgoing: { exceptions: [{ clients: ["198.51.100.0/25"], client_server: "insist" }] } },
    server: unprotectedServer,
    is: ["outgoing", "queue", "outgoing.exceptions[0].client_server"],
  },
  {
    what: "an exception is not for other clients",
    given: { outgoing: { exceptions: [{ clients: ["198.51.100.128/25"], client_server: "insist" }] } },
    server: unprotectedServer,
    is: ["outgoing", "outgoing-proxy", "outgoing.client_server"],
  },
  {
    what: "an exception for servers",
    given: {
      outgoing: {
        client_server: "insist",
        exceptions: [{ servers: ["192.0.2.1"], client_server: "permit" }],
      },
    },
    server: unprotectedServer,
    is: ["outgoing", "outgoing-proxy", "outgoing.exceptions[0].client_server"],
  },
  {
    what: "an exception for clients and servers needs both",
    server: unprotectedServer,
    given: {
      outgoing: {
        exceptions: [
          { clients: [client], servers: ["192.0.2.2"], client_server: "insist" },
          { clients: [client], servers: ["192.0.2.1"], client_server: "insist" },
        ],
      },
    },
    is: ["outgoing", "queue", "outgoing.exceptions[1].client_server"],
  },
  {
    what: "the first exception that matches wins",
    server: unprotectedServer,
    given: {
      outgoing: {
        client_server: "insist",
        exceptions: [
          { servers: ["192.0.2.0/24"], client_server: "permit" },
          { clients: [client], client_server: "insist" },
        ],
      },
    },
    is: ["outgoing", "outgoing-proxy", "outgoing.exceptions[0].client_server"],
  },
  {
    what: "an exception over IPv6",
    client: clientV6,
    server: "[2001:db8:f::1]:25",
    given: {
      outgoing: {
        exceptions: [
          { clients: ["0.0.0.0/0"], client_server: "permit" },
          { servers: ["2001:db8:f::/48"], client_server: "insist" },
        ],
      },
    },
    is: ["outgoing", "queue", "outgoing.exceptions[1].client_server"],
  },
];

for (const { what, given = {}, client: from = client, server, is, ...more } of connections) {
  test(`connection: ${what} (${server})`, () => {
    const { direction, handler, setting, row, nextHop } = connect(given, from, server, more);
    assert.deepEqual([direction, handler, setting], is);
    assert.equal(row, handler === "outgoing-proxy" ? "client-server" : null);
    const leadsOn = handler === "outgoing-proxy" || handler === "tunnel";
    assert.equal(nextHop === null ? null : identifyNextHop(nextHop).label, leadsOn ? server : null);
  });
}

test("connection: shadow reports how it would have been handled", () => {
  const { instead } = connect(transparent({ shadow: true }), client, unprotectedServer);
  assert.deepEqual(instead, {
    handler: "outgoing-proxy",
    row: "client-server",
    setting: "outgoing.client_server",
  });
});

test("connection: tunnels hide the gateway where the outgoing proxy, or the protected entry, does", () => {
  const hides = (given: Partial<Given>, server: string) =>
    connect({ ...transparent({ shadow: true }), ...given }, client, server).nextHop?.hide;
  const hidden = { protected: base.protected.map((entry) => ({ ...entry, hide: true })) };
  assert.equal(hides({ outgoing: { hide: true } }, unprotectedServer), true);
  assert.equal(hides({ outgoing: { hide: true } }, protectedServer), false);
  assert.equal(hides(hidden, protectedServer), true);
  assert.equal(hides(hidden, unprotectedServer), false);
});

test("connection: the outgoing proxy hides the gateway where that is configured", () => {
  assert.equal(connect({ outgoing: { hide: true } }, client, unprotectedServer).nextHop?.hide, true);
  assert.equal(connect({}, client, unprotectedServer).nextHop?.hide, false);
});

interface RecipientCase {
  what: string;
  given?: Partial<Given>;
  client?: string;
  server?: string;
  listener?: string;
  authenticated?: boolean;
  from?: string;
  to: string;
  is: [row: string, nextHop: string, setting: string] | "denied";
}

const stranger = "192.0.2.200";
const insist: Partial<Given> = { outgoing: { client_server: "insist" } };

const recipients: RecipientCase[] = [
  {
    what: "to-protected from an incoming connection",
    server: protectedServer,
    client: stranger,
    to: "joe@example.com",
    is: ["to-protected", "203.0.113.25:25, [2001:db8::25]:25", "protected[0].domains[0]"],
  },
  {
    what: "to-protected goes to the domain's servers, whichever protected server the client meant",
    server: "203.0.113.30:26",
    client: stranger,
    to: "joe@sub.example.com",
    is: ["to-protected", "203.0.113.25:25, [2001:db8::25]:25", "protected[0].domains[1]"],
  },
  {
    what: "to-protected from an outgoing connection with insist",
    given: insist,
    server: unprotectedServer,
    client: stranger,
    to: "joe@example.net",
    is: ["to-protected", "203.0.113.30:26", "protected[1].domains[0]"],
  },
  {
    what: "to-protected from a local connection",
    server: gateway,
    client: stranger,
    to: "joe@example.net",
    is: ["to-protected", "203.0.113.30:26", "protected[1].domains[0]"],
  },
  {
    what: "to-protected on a listener for the gateway itself",
    server: gateway,
    listener: "submission",
    client: stranger,
    to: "joe@example.net",
    is: ["to-protected", "203.0.113.30:26", "protected[1].domains[0]"],
  },
  {
    what: "to-protected over IPv6",
    server: "[2001:db8::25]:25",
    client: "2001:db8:e::1",
    to: "joe@example.com",
    is: ["to-protected", "203.0.113.25:25, [2001:db8::25]:25", "protected[0].domains[0]"],
  },

  {
    what: "domain-server: by the server that the client connected to",
    server: "203.0.113.30:26",
    to: "ann@else.example",
    is: ["domain-server", "203.0.113.30:26", "protected[1].use_server_for_outgoing"],
  },
  {
    what: "domain-server wins over the routes of relay",
    server: "203.0.113.30:26",
    to: "ann@partner.example",
    is: ["domain-server", "203.0.113.30:26", "protected[1].use_server_for_outgoing"],
  },
  {
    what: "domain-server: denied to a stranger",
    server: "203.0.113.30:26",
    client: stranger,
    to: "ann@else.example",
    is: "denied",
  },

  {
    what: "relay from an incoming connection whose domain does not carry others' mail",
    server: protectedServer,
    to: "ann@else.example",
    is: ["relay", "mx else.example", "relay.routes"],
  },
  {
    what: "relay from an outgoing connection with insist, never to the server that the client chose",
    given: insist,
    server: unprotectedServer,
    to: "ann@else.example",
    is: ["relay", "mx else.example", "relay.routes"],
  },
  {
    what: "relay from a local connection, by the first route that matches",
    server: gateway,
    to: "ann@partner.example",
    is: ["relay", "isp (smtp.isp.example:587)", "relay.routes[0].via"],
  },
  {
    what: "relay over IPv6",
    client: clientV6,
    server: "[2001:db8::1]:25",
    to: "ann@else.example",
    is: ["relay", "mx else.example", "relay.routes"],
  },
  {
    what: "relay for a stranger that has logged in",
    client: stranger,
    authenticated: true,
    server: gateway,
    to: "ann@else.example",
    is: ["relay", "mx else.example", "relay.routes"],
  },

  {
    what: "denied to a stranger on an incoming connection",
    client: stranger,
    server: protectedServer,
    to: "ann@else.example",
    is: "denied",
  },
  {
    what: "denied to a stranger on an outgoing connection with insist",
    given: insist,
    client: stranger,
    server: unprotectedServer,
    to: "ann@else.example",
    is: "denied",
  },
  {
    what: "denied to a stranger on a local connection",
    client: stranger,
    server: gateway,
    to: "ann@else.example",
    is: "denied",
  },
  {
    what: "denied to a stranger over IPv6",
    client: "2001:db8:e::1",
    server: gateway,
    to: "ann@else.example",
    is: "denied",
  },
  {
    what: "denied: a domain that only ends like a protected one",
    client: stranger,
    server: gateway,
    to: "ann@notexample.com",
    is: "denied",
  },
];

for (const { what, given = {}, client: from = client, server = gateway, to, is, ...more } of recipients) {
  test(`recipient: ${what}`, () => {
    const connection = connect(given, from, server, more);
    assert.equal(connection.handler, "queue");
    const decision = compileRouting(testConfig({ ...base, ...given })).classifyRecipient(connection, {
      reversePath: more.from ?? "joe@example.com",
      recipient: to,
      authenticated: more.authenticated ?? false,
    });
    if (is === "denied") {
      assert.equal(decision.row, "denied");
      assert.ok(decision.row === "denied");
      assert.deepEqual(
        [decision.reply.code, decision.reply.status, decision.setting],
        [550, "5.7.1", "relay.clients"],
      );
    } else {
      assert.ok(decision.row !== "denied");
      assert.deepEqual([decision.row, identifyNextHop(decision.nextHop).label, decision.setting], is);
    }
  });
}

test("a route carries what the protected entry says of its servers", () => {
  const routing = compileRouting(
    testConfig({
      ...base,
      protected: [
        { domains: ["example.com"], servers: ["192.0.2.9"], hide: true, tls: "verify", inline: false },
      ],
    }),
  );
  assert.deepEqual(routing.routeRecipient(null, "", "joe@example.com"), {
    row: "to-protected",
    nextHop: { kind: "servers", servers: [{ host: "192.0.2.9", port: 25 }], hide: true, tls: "verify" },
    setting: "protected[0].domains[0]",
    inline: false,
  });
});

test("the route of accepted mail is computed again from its origin, without checking permission again", () => {
  const routing = compileRouting(testConfig(base));
  const routeOf = (direction: "incoming" | "local" | "outgoing", server: string, to: string) => {
    const { row, nextHop } = routing.routeRecipient({ direction, destination: endpoint(server) }, "", to);
    return `${row} ${identifyNextHop(nextHop).label}`;
  };
  assert.equal(routeOf("incoming", "203.0.113.30:26", "ann@else.example"), "domain-server 203.0.113.30:26");
  assert.equal(
    routeOf("incoming", "203.0.113.30:26", "joe@example.com"),
    "to-protected 203.0.113.25:25, [2001:db8::25]:25",
  );
  assert.equal(routeOf("incoming", "192.0.2.99:25", "ann@else.example"), "relay mx else.example");
  assert.equal(routeOf("local", "203.0.113.30:26", "ann@else.example"), "relay mx else.example");
  assert.equal(routeOf("outgoing", unprotectedServer, "ann@else.example"), "relay mx else.example");
});

test("a server of two protected entries carries mail for others when one of them allows it", () => {
  const servers = ["203.0.113.25"];
  const uses = { domains: ["example.com"], servers, use_server_for_outgoing: true };
  const doesNot = { domains: ["example.org"], servers };
  const origin = { direction: "incoming" as const, destination: endpoint(protectedServer) };
  for (const entries of [
    [uses, doesNot],
    [doesNot, uses],
  ]) {
    const routing = compileRouting(testConfig({ protected: entries }));
    assert.equal(routing.routeRecipient(origin, "", "ann@else.example").row, "domain-server");
  }
});

test("mail of the gateway's own, with no connection, goes to protected servers or by the routes", () => {
  const routing = compileRouting(testConfig(base));
  const routeOf = (to: string) => {
    const { row, nextHop } = routing.routeRecipient(null, "", to);
    return `${row} ${identifyNextHop(nextHop).label}`;
  };
  assert.equal(routeOf("joe@example.net"), "to-protected 203.0.113.30:26");
  assert.equal(routeOf("ann@partner.example"), "relay isp (smtp.isp.example:587)");
  assert.equal(routeOf("ann@else.example"), "relay mx else.example");
});

test("a listener that is not configured is a bug, not an outgoing connection", () => {
  assert.throws(() => connect({}, client, gateway, { listener: "gone" }), /no listener gone/);
});
