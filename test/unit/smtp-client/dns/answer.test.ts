import assert from "node:assert/strict";
import { test } from "node:test";
import { domainToASCII } from "node:url";
import {
  type DnsReply,
  type ReplyRecord,
  readReply,
  wireName,
} from "../../../../shared/smtp-client/dns/answer.ts";

const a = (name: string, text: string, ttl = 300): ReplyRecord => ({ name, type: "A", ttl, text });
const cname = (name: string, text: string, ttl = 300): ReplyRecord => ({ name, type: "CNAME", ttl, text });
const soa = (ttl: number, minimum: number): ReplyRecord => ({ name: "test", type: "SOA", ttl, minimum });
const reply = (given: Partial<DnsReply>): DnsReply => ({
  rcode: 0,
  authenticated: false,
  answers: [],
  authorities: [],
  ...given,
});
const read = (given: Partial<DnsReply>) => readReply("x.test", "A", reply(given));

test("an answer has the smallest TTL of its records", () => {
  const answers = [a("x.test", "192.0.2.1", 300), a("x.test", "192.0.2.2", 60)];
  assert.deepEqual(read({ answers }), { kind: "records", records: answers, ttl: 60, owner: "x.test" });
});

test("CNAMEs are followed within the reply, and their TTL counts", () => {
  const end = a("z.test", "192.0.2.1");
  const answers = [cname("x.test", "y.test", 10), cname("y.test", "z.test"), end];
  assert.deepEqual(read({ answers }), { kind: "records", records: [end], ttl: 10, owner: "z.test" });
});

test("a question for a CNAME is answered with it, not followed", () => {
  const alias = cname("x.test", "y.test", 10);
  const answers = [alias, a("y.test", "192.0.2.1")];
  const reading = readReply("x.test", "CNAME", reply({ answers }));
  assert.deepEqual(reading, { kind: "records", records: [alias], ttl: 10, owner: "x.test" });
});

test("records of another name are no answer", () => {
  assert.equal(read({ answers: [a("evil.test", "192.0.2.66")], authorities: [soa(60, 60)] }).kind, "nodata");
});

test("a reply that stops at a CNAME leads to another question", () => {
  assert.deepEqual(read({ answers: [cname("x.test", "y.test", 30)] }), {
    kind: "alias",
    name: "y.test",
    ttl: 30,
  });
});

test("a CNAME to a name without such records is NODATA, and no further question", () => {
  const given = { answers: [cname("x.test", "y.test")], authorities: [soa(60, 60)] };
  assert.equal(read(given).kind, "nodata");
});

test("NXDOMAIN after a CNAME is about the last name (RFC 6604 §3)", () => {
  assert.equal(read({ rcode: 3, answers: [cname("x.test", "y.test")] }).kind, "nxdomain");
});

test("a loop of CNAMEs is a failure", () => {
  const answers = [cname("x.test", "y.test"), cname("y.test", "x.test")];
  assert.equal(read({ answers }).kind, "failure");
});

test("an endless chain of CNAMEs is a failure", () => {
  const answers = Array.from({ length: 30 }, (_, i) => cname(i === 0 ? "x.test" : `n${i}`, `n${i + 1}`));
  assert.equal(read({ answers }).kind, "failure");
});

test("negative answers are valid for the smaller of the SOA's TTL and minimum (RFC 2308 §5)", () => {
  assert.deepEqual(read({ authorities: [soa(600, 60)] }), { kind: "nodata", ttl: 60 });
  assert.deepEqual(read({ rcode: 3, authorities: [soa(30, 60)] }), { kind: "nxdomain", ttl: 30 });
});

test("a referral is a failure, not a negative answer (RFC 2308 §2.2)", () => {
  const ns: ReplyRecord = { name: "test", type: "NS", ttl: 60 };
  assert.equal(read({ authorities: [ns] }).kind, "failure");
  assert.equal(read({ authorities: [ns, soa(60, 60)] }).kind, "nodata");
});

test("a negative answer without an SOA is not cached (RFC 2308 §5)", () => {
  assert.deepEqual(read({ rcode: 3 }), { kind: "nxdomain", ttl: undefined });
});

test("SERVFAIL, REFUSED and the like are failures", () => {
  for (const rcode of [1, 2, 4, 5, 9]) assert.equal(read({ rcode }).kind, "failure");
});

test("names are sent in lower case, as A-labels, without the final dot", () => {
  assert.equal(wireName("Example.ORG.", domainToASCII), "example.org");
  assert.equal(wireName("bücher.example", domainToASCII), "xn--bcher-kva.example");
  assert.equal(wireName("_mta-sts.example.org", domainToASCII), "_mta-sts.example.org");
});

test("text that cannot be a name is not asked for (RFC 1035 §2.3.4)", () => {
  const long = `${"a.".repeat(127)}aa`;
  for (const bad of [
    "",
    ".",
    "a..b",
    `${"x".repeat(64)}.org`,
    long,
    "a b.org",
    "a\u0000.org",
    "[192.0.2.1 ]",
  ]) {
    assert.equal(wireName(bad, domainToASCII), undefined, JSON.stringify(bad));
  }
});
