import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";
import { testConfig } from "../../support/config.ts";

const routing = compileRouting(
  testConfig({
    hostname: "GW.example.net",
    protected: [{ domains: ["example.com", "bücher.example"], servers: ["203.0.113.25"] }],
    relay: { clients: ["198.51.100.0/24"] },
  }),
);

function classify(
  address: string,
  recipient: string,
  more: { authenticated?: boolean; sourceRoute?: boolean } = {},
) {
  const decision = routing.classifyRecipient(
    {
      client: { address, port: 1 },
      destination: { address: "203.0.113.1", port: 25 },
      direction: "local",
    },
    { reversePath: "", recipient, ...more },
  );
  return decision.row === "denied"
    ? `${decision.reply.code} ${decision.reply.status}`
    : `${decision.row} ${identifyNextHop(decision.nextHop).label}`;
}
const asStranger = (recipient: string) => classify("192.0.2.200", recipient);
const asClient = (recipient: string) => classify("198.51.100.7", recipient);

const askForMore: [recipient: string, forClients: string][] = [
  ["user%other.example@example.com", "to-protected 203.0.113.25:25"],
  ["other.example!user@example.com", "to-protected 203.0.113.25:25"],
  ['"user@other.example"@example.com', "to-protected 203.0.113.25:25"],
  ['"user%other.example"@example.com', "to-protected 203.0.113.25:25"],
  ["user\\@other.example@example.com", "to-protected 203.0.113.25:25"],
  ["@example.com:user@other.example", "relay mx other.example"],
  ["@a.example,@b.example:user@example.com", "to-protected 203.0.113.25:25"],
  ["@[IPv6:2001:db8::1]:user@example.com", "to-protected 203.0.113.25:25"],
  ["user%example.com@other.example", "relay mx other.example"],
];

for (const [recipient, forClients] of askForMore) {
  test(`${recipient} is denied to a stranger, and only its domain counts for a client`, () => {
    assert.equal(asStranger(recipient), "550 5.7.1");
    assert.equal(asClient(recipient), forClients);
    assert.equal(classify("192.0.2.200", recipient, { authenticated: true }), forClients);
  });
}

test("a source route that the session took off is denied to a stranger too", () => {
  assert.equal(classify("192.0.2.200", "user@example.com", { sourceRoute: true }), "550 5.7.1");
  assert.equal(
    classify("198.51.100.7", "user@example.com", { sourceRoute: true }),
    "to-protected 203.0.113.25:25",
  );
});

test("the domain is compared without regard to case, final dot, and the form of its labels", () => {
  for (const domain of [
    "example.com",
    "EXAMPLE.COM",
    "Example.com.",
    "BÜCHER.example",
    "xn--bcher-kva.example",
  ]) {
    assert.equal(asStranger(`user@${domain}`), "to-protected 203.0.113.25:25", domain);
  }
  assert.equal(asClient("user@MÜNCHEN.Example"), "relay mx xn--mnchen-3ya.example");
});

test("address literals are relayed for clients, in one spelling, and denied to strangers", () => {
  assert.equal(asClient("user@[192.0.2.1]"), "relay mx [192.0.2.1]");
  assert.equal(asClient("user@[IPv6:2001:DB8:0::1]"), "relay mx [ipv6:2001:db8::1]");
  assert.equal(asStranger("user@[192.0.2.1]"), "550 5.7.1");
  assert.equal(asStranger("user@[203.0.113.25]"), "550 5.7.1");
  assert.equal(asStranger("user@[IPv6:2001:db8::1]"), "550 5.7.1");
});

test("sender routing to the gateway's postmaster is denied to strangers too", () => {
  assert.equal(asStranger("postmaster@other.example"), "550 5.7.1");
  assert.equal(asStranger("@other.example:postmaster@gw.example.net"), "550 5.7.1");
  assert.equal(asStranger("postmaster%other.example@gw.example.net"), "550 5.7.1");
});

test("postmaster of a gateway whose name is protected goes to the domain's servers", () => {
  const own = compileRouting(
    testConfig({
      hostname: "example.com",
      protected: [{ domains: ["example.com"], servers: ["203.0.113.25"] }],
    }),
  );
  const decision = own.classifyRecipient(
    {
      client: { address: "192.0.2.200", port: 1 },
      destination: { address: "203.0.113.1", port: 25 },
      direction: "local",
    },
    { reversePath: "", recipient: "Postmaster" },
  );
  assert.ok(decision.row !== "denied");
  assert.deepEqual([decision.row, decision.address], ["to-protected", "Postmaster@example.com"]);
});

test("any other address without a domain is refused as such", () => {
  assert.equal(asStranger("joe"), "553 5.1.3");
  assert.equal(asClient("joe"), "553 5.1.3");
  assert.equal(asClient("joe@"), "553 5.1.3");
});
