import assert from "node:assert/strict";
import { test } from "node:test";
import {
  errorInHold,
  type Holdable,
  HoldMatcher,
  type HoldRule,
  holdRuleId,
} from "../../../shared/queue/holds/rules.ts";
import { ruleFor } from "../../../shared/queue/operator/changes.ts";
import type { NextHop } from "../../../shared/routing/next-hop.ts";
import { describeRoute } from "../../../shared/routing/route.ts";

const nowMs = 1_700_000_000_000;
const job: Holdable = {
  id: "0GX7",
  part: 1,
  from: "Ann@Example.com",
  to: ["joe@example.org", "sue@mail.Example.NET"],
  route: describeRoute({
    row: "relay",
    nextHop: {
      kind: "relay",
      relay: { name: "isp", host: "smtp.isp.example", port: 587, tls: "may" },
    },
  }),
};

function rule(kind: HoldRule["kind"], value: string, untilMs?: number): HoldRule {
  return {
    kind,
    value,
    reason: "",
    createdAtMs: nowMs - 1_000,
    ...(untilMs === undefined ? {} : { untilMs }),
  };
}

function holds(...rules: HoldRule[]): boolean {
  return new HoldMatcher(rules, nowMs).match(job) !== undefined;
}

test("a rule holds the mail that it names and no other", () => {
  assert.ok(!holds());
  assert.ok(holds(rule("all", "")));
  assert.ok(holds(rule("message", "0GX7")));
  assert.ok(holds(rule("message", "0GX7-1")));
  assert.ok(!holds(rule("message", "0GX7-0")));
  assert.ok(holds(rule("sender", "ann@example.com")));
  assert.ok(holds(rule("sender", "*@example.com")));
  assert.ok(!holds(rule("sender", "<>")));
  assert.ok(holds(rule("destination", "EXAMPLE.org")));
  assert.ok(holds(rule("destination", "*.example.net")));
  assert.ok(!holds(rule("destination", "example.net")));
  assert.ok(!holds(rule("destination", "*.example.org")));
});

test("a destination may be the next hop, by name or by host", () => {
  assert.ok(holds(rule("destination", "isp")));
  assert.ok(holds(rule("destination", "smtp.isp.example")));
  assert.ok(holds(rule("destination", "smtp.isp.example:587")));
  assert.ok(!holds(rule("destination", "smtp.isp.example:25")));
  for (const word of ["relay", "via", "(smtp.isp.example:587)"]) assert.ok(!holds(rule("destination", word)));
});

test("each of several servers may be named, and the domain of an MX", () => {
  const servers = [
    { host: "203.0.113.25", port: 25 },
    { host: "2001:db8::25", port: 2525 },
  ];
  const isHeld = (nextHop: NextHop, value: string) =>
    new HoldMatcher([rule("destination", value)], nowMs).match({
      ...job,
      route: describeRoute({ row: "to-protected", nextHop }),
    }) !== undefined;
  for (const value of ["203.0.113.25", "203.0.113.25:25", "2001:DB8::25", "[2001:db8::25]:2525"]) {
    assert.ok(isHeld({ kind: "servers", servers, hide: false }, value), value);
  }
  assert.ok(!isHeld({ kind: "servers", servers, hide: false }, "203.0.113.25:2525"));
  assert.ok(isHeld({ kind: "mx", domain: "mx.example" }, "mx.example"));
  assert.ok(!isHeld({ kind: "mx", domain: "mx.example" }, "mx"));
  assert.ok(isHeld({ kind: "host", host: { host: "smart.example", port: 26 } }, "smart.example"));
});

test("a destination may be written as the filters write it", () => {
  assert.ok(holds(rule("destination", "*@example.org")));
  assert.ok(holds(rule("destination", "*@*.example.net")));
  assert.equal(holdRuleId(rule("destination", "*@Example.org")), "destination:example.org");
});

test("what can hold nothing, or would hold more than it says, is no rule", () => {
  const configError = (kind: HoldRule["kind"], value: string) => errorInHold({ kind, value });
  for (const value of ["", "  ", "foo bar", "@", "joe@example.org", "*", "a*b.example", "x\u0000"]) {
    assert.ok(configError("destination", value), JSON.stringify(value));
  }
  for (const value of ["", "  ", "\u0007"]) assert.ok(configError("sender", value), JSON.stringify(value));
  assert.ok(configError("all", "example.org"));
  for (const value of ["example.org", "*.example.org", "*@example.org", "isp", "[2001:db8::25]:25"]) {
    assert.equal(configError("destination", value), undefined, value);
  }
  assert.equal(configError("sender", "<>"), undefined);
  assert.equal(configError("all", ""), undefined);
});

test("a rule that has expired holds nothing, and the matcher says until when it is right", () => {
  assert.ok(!holds(rule("all", "", nowMs)));
  const matcher = new HoldMatcher([rule("all", "", nowMs + 10), rule("sender", "x@y", nowMs + 5)], nowMs);
  assert.ok(matcher.match(job));
  assert.equal(matcher.validUntilMs, nowMs + 5);
});

test("a rule is known by its kind and value, whatever the case of domains", () => {
  assert.equal(holdRuleId(rule("destination", "Example.ORG")), "destination:example.org");
  assert.equal(holdRuleId(rule("message", "0GX7")), "message:0GX7");
  assert.equal(holdRuleId(rule("all", "whatever")), "all:");
});

test("selections that one rule expresses are held by that rule", () => {
  assert.deepEqual(ruleFor({ filter: {} }), { kind: "all", value: "" });
  assert.deepEqual(ruleFor({ filter: { from: "<>" } }), { kind: "sender", value: "<>" });
  assert.deepEqual(ruleFor({ filter: { to: "*@Example.org" } }), {
    kind: "destination",
    value: "example.org",
  });
  assert.equal(ruleFor({ filter: { to: "joe@example.org" } }), undefined);
  assert.equal(ruleFor({ filter: { to: "*@example.org", from: "<>" } }), undefined);
  assert.equal(ruleFor({ filter: { olderMs: 5 } }), undefined);
  assert.equal(ruleFor({ ids: ["0GX7"] }), undefined);
});
