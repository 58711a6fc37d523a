import assert from "node:assert/strict";
import { test } from "node:test";
import { compileRouting, type RecipientFacts } from "../../../shared/routing/classify.ts";
import { identifyNextHop } from "../../../shared/routing/next-hop.ts";
import { testConfig } from "../../support/config.ts";

const base = {
  hostname: "GW.example.net",
  protected: [{ domains: ["example.com"], servers: ["203.0.113.25"], use_server_for_outgoing: true }],
  relay: { clients: ["198.51.100.0/24"], routes: [{ to: "*@routed.example", via: "192.0.2.9:25" }] },
};

function classify(
  given: Parameters<typeof testConfig>[0],
  recipient: string,
  {
    client = "192.0.2.200",
    incoming = false,
    ...more
  }: Partial<RecipientFacts> & { client?: string; incoming?: boolean } = {},
): string {
  const decision = compileRouting(testConfig({ ...base, ...given })).classifyRecipient(
    {
      client: { address: client, port: 1 },
      destination: { address: incoming ? "203.0.113.25" : "203.0.113.1", port: 25 },
      direction: incoming ? "incoming" : "local",
    },
    { reversePath: "", recipient, ...more },
  );
  if (decision.row === "denied") return `${decision.reply.code} ${decision.reply.status}`;
  const { row, nextHop, address, isPostmaster } = decision;
  return `${row} ${identifyNextHop(nextHop).label} for ${address}${isPostmaster === true ? ", postmaster" : ""}`;
}

const spellings = [
  "postmaster",
  "PostMaster",
  '"postmaster"',
  '"Post\\master"',
  "postmaster@gw.example.net",
  "Postmaster@GW.EXAMPLE.NET",
  "postmaster@gw.example.net.",
  '"postmaster"@gw.example.net',
];

for (const recipient of spellings) {
  test(`${recipient} goes to the postmaster that the configuration names, for anybody (RFC 5321 §4.5.1)`, () => {
    const relayed = "relay mx elsewhere.example for boss@elsewhere.example, postmaster";
    assert.equal(classify({ postmaster: "boss@elsewhere.example" }, recipient), relayed);
    assert.equal(
      classify({ postmaster: "boss@elsewhere.example" }, recipient, { reversePath: "a@b.example" }),
      relayed,
    );
    assert.equal(
      classify({ postmaster: "boss@routed.example" }, recipient),
      "relay 192.0.2.9:25 for boss@routed.example, postmaster",
    );
    assert.equal(
      classify({ postmaster: "boss@example.com" }, recipient),
      "to-protected 203.0.113.25:25 for boss@example.com, postmaster",
    );
  });

  test(`${recipient} is refused where the configuration names no postmaster, whoever writes`, () => {
    assert.equal(classify({}, recipient), "550 5.1.1");
    assert.equal(classify({}, recipient, { client: "198.51.100.7" }), "550 5.1.1");
    assert.equal(classify({}, recipient, { authenticated: true }), "550 5.1.1");
    assert.equal(classify({}, recipient, { incoming: true }), "550 5.1.1");
  });
}

test("only the postmaster is anybody's to write to, not the mailbox behind it", () => {
  const given = { postmaster: "boss@elsewhere.example" };
  assert.equal(classify(given, "boss@elsewhere.example"), "550 5.7.1");
  assert.equal(
    classify(given, "boss@elsewhere.example", { client: "198.51.100.7" }),
    "relay mx elsewhere.example for boss@elsewhere.example",
  );
  for (const recipient of ["postmaster@elsewhere.example", "postmaster%elsewhere.example@gw.example.net"])
    assert.equal(classify(given, recipient), "550 5.7.1", recipient);
  assert.equal(classify(given, "postmasters"), "553 5.1.3");
  assert.equal(classify(given, '"post master"'), "553 5.1.3");
});

test("a protected domain of the gateway's name has its own postmaster", () => {
  const own = { hostname: "example.com" };
  const servers = "to-protected 203.0.113.25:25";
  assert.equal(classify(own, "Postmaster"), `${servers} for Postmaster@example.com`);
  assert.equal(classify(own, "postmaster@example.com"), `${servers} for postmaster@example.com`);
  const named = { ...own, postmaster: "boss@elsewhere.example" };
  assert.equal(classify(named, "postmaster@example.com"), `${servers} for postmaster@example.com`);
  assert.equal(
    classify(named, "postmaster"),
    "relay mx elsewhere.example for boss@elsewhere.example, postmaster",
  );
});
