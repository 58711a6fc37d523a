import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { createResolver, type Resolver } from "../../shared/smtp-client/dns/resolver.ts";
import { type DnsZone, startDnsZone } from "../support/dns-zone.ts";

let zone: DnsZone;
let resolver: Resolver;
let nowMs: number;

before(async () => {
  zone = await startDnsZone({
    "example.org": { A: ["192.0.2.1"], ttl: 60 },
    "zero.test": { A: ["192.0.2.1"], ttl: 0 },
  });
});
after(() => zone.stop());
beforeEach(() => {
  zone.behave(undefined);
  zone.setNegativeTtl(60);
  zone.queries.length = 0;
  nowMs = 1_000_000;
  resolver = createResolver({
    servers: [{ host: "127.0.0.1", port: zone.port }],
    timeoutMs: 30_000,
    now: () => nowMs,
    cacheSize: 3,
  });
});

test("an answer is cached for its TTL, and has what is left of it", async () => {
  await resolver.a("example.org");
  nowMs += 20_000;
  const answer = await resolver.a("EXAMPLE.org");
  assert.equal(answer.kind === "found" && answer.ttl, 40);
  assert.equal(zone.queries.length, 1);
  nowMs += 40_000;
  await resolver.a("example.org");
  assert.equal(zone.queries.length, 2);
});

test("an answer with a TTL of 0 is not cached", async () => {
  await resolver.a("zero.test");
  await resolver.a("zero.test");
  assert.equal(zone.queries.length, 2);
});

test("a negative answer is cached for the SOA's minimum (RFC 2308 §5)", async () => {
  await resolver.a("nowhere.test");
  await resolver.aaaa("example.org");
  nowMs += 59_000;
  await resolver.a("nowhere.test");
  await resolver.aaaa("example.org");
  assert.equal(zone.queries.length, 2);
  nowMs += 1000;
  await resolver.a("nowhere.test");
  assert.equal(zone.queries.length, 3);
});

test("a negative answer without an SOA is not cached (RFC 2308 §5)", async () => {
  zone.setNegativeTtl(undefined);
  await resolver.a("nowhere.test");
  await resolver.a("nowhere.test");
  assert.equal(zone.queries.length, 2);
});

test("a failure is cached for five seconds (RFC 9520 §3.2)", async () => {
  zone.behave("servfail");
  await resolver.a("example.org");
  zone.behave(undefined);
  nowMs += 4999;
  assert.equal((await resolver.a("example.org")).kind, "unavailable");
  nowMs += 1;
  assert.equal((await resolver.a("example.org")).kind, "found");
});

test("simultaneous equal questions are sent once", async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, () => resolver.a("example.org")));
  assert.ok(answers.every(({ kind }) => kind === "found"));
  assert.equal(zone.queries.length, 1);
});

test("the cache is bounded", async () => {
  await resolver.a("example.org");
  for (const name of ["a.test", "b.test", "c.test"]) await resolver.a(name);
  zone.queries.length = 0;
  await resolver.a("example.org");
  assert.equal(zone.queries.length, 1);
});
