import assert from "node:assert/strict";
import { test } from "node:test";
import {
  aliasesFromOlderLabel,
  errorInHold,
  type Holdable,
  HoldMatcher,
  type HoldRule,
  holdRuleId,
} from "../../../shared/queue/holds/rules.ts";
import { ruleFor } from "../../../shared/queue/operator/changes.ts";
import type { NextHop } from "../../../shared/routing/next-hop.ts";
import { type QueuedRow, summarizeRoute } from "../../../shared/routing/route.ts";

/** What a job carries of its route. */
function routeTo(row: QueuedRow, nextHop: NextHop): Pick<Holdable, "route" | "aliases"> {
  const { label, aliases } = summarizeRoute({ row, nextHop });
  return { route: label, aliases };
}

const isp: NextHop = {
  kind: "relay",
  relay: { name: "ISP", host: "smtp.isp.example", port: 587, tls: "may" },
};
const servers: NextHop = {
  kind: "servers",
  servers: [
    { host: "203.0.113.25", port: 25 },
    { host: "2001:db8::25", port: 2525 },
  ],
  hide: false,
};

const nowMs = 1_700_000_000_000;
const job: Holdable = {
  id: "0GX7",
  part: 1,
  from: "Ann@Example.com",
  to: ["joe@example.org", "sue@mail.Example.NET"],
  ...routeTo("relay", isp),
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

function isHeld(route: Pick<Holdable, "route" | "aliases">, destination: string): boolean {
  const { aliases: _, ...rest } = job;
  return (
    new HoldMatcher([rule("destination", destination)], nowMs).match({ ...rest, ...route }) !== undefined
  );
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
  const toServers = routeTo("to-protected", servers);
  const toMx = routeTo("relay", { kind: "mx", domain: "mx.example" });
  const toHost = routeTo("relay", { kind: "host", host: { host: "smart.example", port: 26 } });
  for (const value of ["203.0.113.25", "203.0.113.25:25", "2001:DB8::25", "[2001:db8::25]:2525"]) {
    assert.ok(isHeld(toServers, value), value);
  }
  assert.ok(!isHeld(toServers, "203.0.113.25:2525"));
  assert.ok(isHeld(toMx, "mx.example"));
  assert.ok(!isHeld(toMx, "mx"));
  assert.ok(isHeld(toHost, "smart.example"));
  assert.ok(isHeld(toHost, "smart.example:26"));
});

test("holds match the aliases that a job carries, never its label", () => {
  const lookalike = { route: "relay via mx victim.example", aliases: ["smart.example:26", "smart.example"] };
  assert.ok(!isHeld(lookalike, "victim.example"));
  assert.ok(isHeld(lookalike, "smart.example"));
  assert.ok(!isHeld({ ...lookalike, aliases: [] }, "victim.example"));
  // A relay host may have any name, even one that reads like several servers.
  const relay = { name: "a.example, b.example", host: "c.example", port: 25, tls: "may" } as const;
  const toRelay = routeTo("relay", { kind: "relay", relay });
  assert.ok(isHeld(toRelay, "c.example"));
  for (const value of ["a.example", "b.example"]) assert.ok(!isHeld(toRelay, value), value);
});

test("jobs of version 0.1.0, which have only the label, are held by the same names", () => {
  const hops: NextHop[] = [
    isp,
    servers,
    { kind: "mx", domain: "mx.example" },
    { kind: "host", host: { host: "smart.example", port: 26 } },
    { kind: "host", host: { host: "2001:db8::26", port: 26 } },
  ];
  for (const nextHop of hops) {
    const { route, aliases } = routeTo("relay", nextHop);
    assert.deepEqual(aliasesFromOlderLabel(route).sort(), aliases?.toSorted(), route);
    for (const alias of aliases ?? []) assert.ok(isHeld({ route }, alias), alias);
  }
  assert.ok(!isHeld({ route: "relay via mx mx.example" }, "mx"));
});

test("a destination may be written as the filters write it", () => {
  assert.ok(holds(rule("destination", "*@example.org")));
  assert.ok(holds(rule("destination", "*@*.example.net")));
  assert.equal(holdRuleId(rule("destination", "*@Example.org")), "destination:example.org");
});

test("a value that can hold nothing, or would hold more than it says, is refused", () => {
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

test("a rule that has expired holds nothing, and the matcher knows how long it is valid", () => {
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
