import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileRouting } from "../../../shared/routing/classify.ts";
import { readMailbox } from "../../../shared/routing/mailbox.ts";
import { matchesAddress, parseAddressPattern } from "../../../shared/routing/patterns.ts";
import { testConfig } from "../../support/config.ts";

const domains = ["a.example", "b.a.example", "c.b.a.example", "other.example"];
const locals = ["ann", "bob"];
const address = fc
  .tuple(fc.constantFrom(...locals), fc.constantFrom(...domains))
  .map(([l, d]) => `${l}@${d}`);
const pattern = fc.oneof(
  fc.constant("*"),
  address,
  fc.constantFrom(...domains).map((domain) => `*@${domain}`),
  fc.constantFrom(...domains).map((domain) => `*@*.${domain}`),
);

test("the first of many routes is the one that a walk through all of them finds", () => {
  const routes = fc.array(fc.record({ to: pattern, from: fc.oneof(pattern, fc.constant("<>")) }), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(routes, fc.oneof(address, fc.constant("")), address, (given, from, to) => {
      const relay = { routes: given.map((route, index) => ({ ...route, via: `192.0.2.${index + 1}:25` })) };
      const found = compileRouting(testConfig({ relay })).routeRecipient(null, from, to).setting;
      const sender = from === "" ? null : readMailbox(from, "gw.example.net");
      const walked = given.findIndex(
        (route) =>
          matchesAddress(parseAddressPattern(route.to), readMailbox(to, "gw.example.net")) &&
          matchesAddress(parseAddressPattern(route.from), sender),
      );
      assert.equal(found, walked < 0 ? "relay.routes" : `relay.routes[${walked}].via`);
    }),
    { numRuns: 200 },
  );
});
