import assert from "node:assert/strict";
import { test } from "node:test";
import type { DnsAnswer, MxRecord } from "../../../../shared/smtp-client/dns/answer.ts";
import {
  addressLiteral,
  decideAddresses,
  decideMx,
  type LookupFailure,
  noAddress,
  sameFamilyFirst,
} from "../../../../shared/smtp-client/next-hops/hosts.ts";

const found = <T>(...records: T[]): DnsAnswer<T> => ({
  kind: "found",
  records,
  ttl: 60,
  authenticated: false,
});
const nodata = { kind: "nodata", authenticated: false } as const;
const nxdomain = { kind: "nxdomain", authenticated: false } as const;
const unavailable = { kind: "unavailable", reason: "SERVFAIL from 192.0.2.53" } as const;
const mx = (preference: number, exchange: string): MxRecord => ({ preference, exchange });
const decide = (answer: DnsAnswer<MxRecord>, random = () => 0) =>
  decideMx("example.org", answer, "gw.example.net", random, 1);
const names = (answer: DnsAnswer<MxRecord>, random?: () => number) => {
  const decision = decide(answer, random);
  return decision.kind === "hosts" ? decision.hosts.map(({ name }) => name) : decision.diagnosis.status;
};

test("MX hosts are tried in order of preference (RFC 5321 §5.1)", () => {
  assert.deepEqual(names(found(mx(20, "b"), mx(10, "a"), mx(30, "c"))), ["a", "b", "c"]);
});

test("equal preferences are shuffled (RFC 5321 §5.1)", () => {
  const answer = found(mx(10, "a"), mx(10, "b"), mx(5, "first"));
  const sequence =
    (...values: number[]) =>
    () =>
      values.shift() ?? 0;
  assert.deepEqual(names(answer, sequence(0.1, 0.2, 0.9)), ["first", "a", "b"]);
  assert.deepEqual(names(answer, sequence(0.2, 0.1, 0.9)), ["first", "b", "a"]);
});

test("without MX records the domain is its own host, and only then (RFC 5321 §5.1)", () => {
  const decision = decide(nodata);
  assert.ok(decision.kind === "hosts" && decision.implicit);
  assert.deepEqual(decision.hosts, [{ name: "example.org", preference: 0 }]);
});

test("a null MX rejects with 5.1.10 (RFC 7505 §4.2)", () => {
  assert.equal(names(found(mx(0, ""))), "5.1.10");
});

test("a null MX beside real hosts is ignored (RFC 7505 §3)", () => {
  assert.deepEqual(names(found(mx(0, ""), mx(10, "a"))), ["a"]);
});

test("a domain that does not exist rejects with 5.1.2", () => {
  const decision = decide(nxdomain);
  assert.equal(decision.kind, "rejected");
  assert.equal(names(nxdomain), "5.1.2");
});

test("a failed look-up defers with 4.4.3", () => {
  const decision = decide(unavailable);
  assert.equal(decision.kind, "deferred");
  assert.equal(names(unavailable), "4.4.3");
});

test("the gateway among the MX hosts is dropped, with all that are not preferred to it (RFC 5321 §5.1)", () => {
  const answer = found(mx(10, "a"), mx(20, "gw.example.net"), mx(20, "same"), mx(30, "worse"));
  assert.deepEqual(names(answer), ["a"]);
});

test("the gateway as the best MX rejects with 5.4.6", () => {
  assert.equal(names(found(mx(10, "gw.example.net"), mx(10, "same"), mx(20, "worse"))), "5.4.6");
});

test("the gateway's own name without MX records rejects with 5.4.6: it would be its own implicit MX", () => {
  const own = (name: string) => decideMx("gw.example.net", nodata, name, () => 0, 1);
  for (const name of ["gw.example.net", "GW.example.net", "gw.example.net."]) {
    const decision = own(name);
    assert.equal(decision.kind === "hosts" ? "" : decision.diagnosis.status, "5.4.6", name);
  }
});

test("a name that occurs twice is tried once, at its best preference", () => {
  assert.deepEqual(names(found(mx(20, "a"), mx(10, "a"), mx(15, "b"))), ["a", "b"]);
});

test("IPv4 and IPv6 addresses alternate", () => {
  const decision = decideAddresses(found("192.0.2.1", "192.0.2.2"), found("2001:db8::1"), () => 0);
  assert.deepEqual(decision, { kind: "addresses", addresses: ["192.0.2.1", "2001:db8::1", "192.0.2.2"] });
});

test("one address is enough, though the look-up of the other family fails", () => {
  assert.deepEqual(
    decideAddresses(found("192.0.2.1"), unavailable, () => 0),
    {
      kind: "addresses",
      addresses: ["192.0.2.1"],
    },
  );
});

test("no address of one family and a failed look-up of the other is a failed look-up", () => {
  assert.equal(decideAddresses(nodata, unavailable, () => 0).kind, "unavailable");
  assert.equal(decideAddresses(unavailable, nodata, () => 0).kind, "unavailable");
  assert.equal(decideAddresses(nodata, nxdomain, () => 0).kind, "none");
});

test("without any address: 5.4.4 for a domain, deferred after a failed look-up or for a configured host", () => {
  const how = (kind: "mx" | "implicit" | "configured", failures: LookupFailure[] = []) => {
    const outcome = noAddress("example.org", kind, failures, 1);
    return `${outcome.kind} ${outcome.diagnosis.status}`;
  };
  assert.equal(how("mx"), "rejected 5.4.4");
  assert.equal(how("implicit"), "rejected 5.4.4");
  assert.equal(how("mx", [{ reason: "SERVFAIL" }]), "deferred 4.4.3");
  assert.equal(how("mx", [{ reason: "too many files open", isLocal: true }]), "deferred 4.3.0");
  assert.equal(how("configured"), "deferred 4.4.4");
});

test("address literals are addresses (RFC 5321 §4.1.3)", () => {
  assert.deepEqual(addressLiteral("[192.0.2.1]"), { address: "192.0.2.1" });
  assert.deepEqual(addressLiteral("[IPv6:2001:DB8::1]"), { address: "2001:db8::1" });
  assert.deepEqual(addressLiteral("[ipv6:2001:db8::1]"), { address: "2001:db8::1" });
  assert.equal(addressLiteral("example.org"), undefined);
  for (const bad of ["[2001:db8::1]", "[IPv6:192.0.2.1]", "[192.0.2]", "[example.org]", "[192.0.2.1"]) {
    assert.equal(addressLiteral(bad), "invalid", bad);
  }
});

test("a delivery from the client's address tries servers of its family first, otherwise in their order", () => {
  const servers = [
    "203.0.113.25",
    "2001:db8:113::25",
    "mail.example.com",
    "203.0.113.26",
    "2001:db8:113::26",
  ];
  const order = (source?: string) => sameFamilyFirst(servers, source, (server) => server);
  assert.deepEqual(order("2001:db8::1"), [
    "2001:db8:113::25",
    "mail.example.com",
    "2001:db8:113::26",
    "203.0.113.25",
    "203.0.113.26",
  ]);
  assert.deepEqual(order("192.0.2.1"), [
    "203.0.113.25",
    "mail.example.com",
    "203.0.113.26",
    "2001:db8:113::25",
    "2001:db8:113::26",
  ]);
  assert.deepEqual(order(), servers);
});
