import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { createResolver, type Resolver } from "../../shared/smtp-client/dns/resolver.ts";
import { type Behaviour, type DnsZone, startDnsZone } from "../support/dns-zone.ts";
import { waitFor } from "../support/wait-for.ts";

let zone: DnsZone;
let resolver: Resolver;
const resolverWith = (timeoutMs: number) =>
  createResolver({ servers: [{ host: "127.0.0.1", port: zone.port }], timeoutMs });

before(async () => {
  zone = await startDnsZone({
    "example.org": { MX: [[10, "MX1.example.org"]], TXT: ["v=spf1 -all"] },
    "mx1.example.org": { A: ["192.0.2.1", "192.0.2.2"], AAAA: ["2001:db8::1"] },
    "null.test": { MX: [[0, "."]] },
    "alias.test": { CNAME: "end.alias.test" },
    "end.alias.test": { CNAME: "mx1.example.org" },
    "stub.test": { CNAME: "mx1.example.org", behave: "cname-only" },
    "loop.test": { CNAME: "pool.test" },
    "pool.test": { CNAME: "loop.test" },
    "far.test": { CNAME: "near.test", behave: "cname-only" },
    "near.test": { CNAME: "far.test", behave: "cname-only" },
  });
});

after(() => zone.stop());

beforeEach(() => {
  zone.queries.length = 0;
  zone.behave(undefined);
  resolver = resolverWith(30_000);
});

test("records are found, names in lower case", async () => {
  assert.deepEqual(await resolver.mx("Example.ORG."), {
    kind: "found",
    records: [{ preference: 10, exchange: "mx1.example.org" }],
    ttl: 300,
    authenticated: false,
  });
  const a = await resolver.a("mx1.example.org");
  assert.deepEqual(a.kind === "found" && a.records, ["192.0.2.1", "192.0.2.2"]);
  const aaaa = await resolver.aaaa("mx1.example.org");
  assert.deepEqual(aaaa.kind === "found" && aaaa.records, ["2001:db8::1"]);
  const txt = await resolver.txt("example.org");
  assert.deepEqual(txt.kind === "found" && txt.records, ["v=spf1 -all"]);
});

test("a null MX is a record with an empty exchange (RFC 7505 §3)", async () => {
  const answer = await resolver.mx("null.test");
  assert.deepEqual(answer.kind === "found" && answer.records, [{ preference: 0, exchange: "" }]);
});

test("no such name and no such records are different answers", async () => {
  assert.equal((await resolver.mx("nowhere.test")).kind, "nxdomain");
  assert.equal((await resolver.mx("mx1.example.org")).kind, "nodata");
  assert.equal((await resolver.a("org")).kind, "nodata", "a name that has only names below it");
});

test("text that cannot be a name does not exist, and no server is asked", async () => {
  assert.equal((await resolver.mx("a..b")).kind, "nxdomain");
  assert.equal(zone.queries.length, 0);
});

for (const behaviour of ["servfail", "refused", "silent", "garbled"] satisfies Behaviour[]) {
  test(`a server that is ${behaviour} is a failed look-up after two tries`, async () => {
    zone.behave(behaviour);
    const isWaitedFor = behaviour === "silent" || behaviour === "garbled";
    const answer = await resolverWith(isWaitedFor ? 150 : 30_000).mx("example.org");
    assert.equal(answer.kind, "unavailable");
    await waitFor("the second question", () => zone.queries.length === 2);
  });
}

test("a closed port is a failed look-up at once", async () => {
  const closed = await startDnsZone();
  await closed.stop();
  const lonely = createResolver({ servers: [{ host: "127.0.0.1", port: closed.port }], timeoutMs: 60_000 });
  const answer = await lonely.a("example.org");
  assert.ok(answer.kind === "unavailable" && /ECONNREFUSED/.test(answer.reason));
});

test("CNAMEs are followed, within one reply and over several", async () => {
  const chain = await resolver.a("alias.test");
  assert.deepEqual(chain.kind === "found" && chain.records, ["192.0.2.1", "192.0.2.2"]);
  const stub = await resolver.a("stub.test");
  assert.deepEqual(stub.kind === "found" && stub.records, ["192.0.2.1", "192.0.2.2"]);
  assert.equal((await resolver.mx("alias.test")).kind, "nodata");
});

test("loops of CNAMEs are a failed look-up", async () => {
  assert.equal((await resolver.a("loop.test")).kind, "unavailable");
  assert.equal((await resolver.a("far.test")).kind, "unavailable");
});

test("an old server that refuses EDNS is asked without it (RFC 6891 §7)", async () => {
  zone.behave("formerr-edns");
  assert.equal((await resolver.mx("example.org")).kind, "found");
});

test("AD of another loopback address is not believed, unless the configuration says so: it may be a forwarder, like Docker's", async (t) => {
  const forwarder = await startDnsZone(
    { "example.org": { MX: [[10, "mx1.example.org"]], behave: "authenticated" } },
    { address: "127.0.0.11" },
  );
  t.after(() => forwarder.stop());
  const servers = [{ host: "127.0.0.11", port: forwarder.port }];
  for (const trustAd of [false, true]) {
    const answer = await createResolver({ servers, trustAd }).mx("example.org");
    assert.equal(answer.kind === "found" && answer.authenticated, trustAd);
  }
});

test("AD from a resolver on this machine is kept (RFC 6840 §5.8)", async () => {
  zone.behave("authenticated");
  const answer = await resolver.mx("example.org");
  assert.ok(answer.kind === "found" && answer.authenticated);
  const none = await resolver.mx("mx1.example.org");
  assert.ok(none.kind === "nodata" && none.authenticated);
});
