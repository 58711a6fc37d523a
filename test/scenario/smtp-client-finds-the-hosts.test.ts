import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { HostsFile } from "../../shared/smtp-client/dns/system.ts";
import type { SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import { type DnsZone, startDnsZone } from "../support/dns-zone.ts";
import { attempt, outcomes, summary, testTransport } from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, type SmtpPeerOptions, startSmtpPeer } from "../support/smtp-peer.ts";

let zone: DnsZone;
let first: SmtpPeer;
let second: SmtpPeer;
let transport: SmtpClient;

/** On another address and the same port: the hosts of an MX all listen on one port. */
async function samePort(options: SmtpPeerOptions = {}): Promise<[SmtpPeer, SmtpPeer]> {
  for (;;) {
    const one = await startSmtpPeer({ address: "127.0.0.21", ...options });
    try {
      return [one, await startSmtpPeer({ address: "127.0.0.22", port: one.port })];
    } catch {
      await one.stop();
    }
  }
}

before(async () => {
  [first, second] = await samePort();
  zone = await startDnsZone({
    "one.test": { A: [first.address] },
    "two.test": { A: [second.address] },
    "mx.test": {
      MX: [
        [20, "two.test"],
        [10, "one.test"],
      ],
    },
    "implicit.test": { A: [second.address] },
    "null.test": { MX: [[0, "."]] },
    "unusable.test": { MX: [[10, "nowhere.test"]], A: [second.address] },
    "literal-mx.test": { MX: [[10, second.address]] },
    "endless.test": { MX: Array.from({ length: 21 }, (_, n): [number, string] => [n, `nowhere${n}.test`]) },
    "nothing.test": { TXT: ["no mail here"] },
    "own.test": {
      MX: [
        [10, "gw.example.net"],
        [20, "two.test"],
      ],
    },
    "backup-own.test": {
      MX: [
        [10, "one.test"],
        [20, "gw.example.net"],
        [30, "two.test"],
      ],
    },
    "broken.test": { MX: [[10, "one.test"]], behave: "servfail" },
    "half.test": {
      MX: [
        [10, "broken-host.test"],
        [20, "two.test"],
      ],
    },
    "broken-host.test": { A: ["192.0.2.1"], behave: "servfail" },
    "only-broken.test": { MX: [[10, "broken-host.test"]] },
    "multi.test": { A: ["127.0.0.23", second.address] },
    "many.test": { MX: Array.from({ length: 9 }, (_, i): [number, string] => [i, `h${i}.test`]) },
    "names.test": {
      MX: Array.from({ length: 3 }, (_, i): [number, string] => [i, `name${i}.test`]),
    },
    ...Object.fromEntries(Array.from({ length: 3 }, (_, i) => [`name${i}.test`, { A: ["127.0.0.24"] }])),
    ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`h${i}.test`, { A: [`127.0.1.${i + 1}`] }])),
  });
});
after(() => Promise.all([first.stop(), second.stop(), zone.stop()]));
beforeEach(() => {
  first.received.length = 0;
  second.received.length = 0;
  transport = testTransport({ dns: zone, options: { mxPort: first.port } });
});
afterEach(() => transport.close(1000));

const byMx = (domain: string) => outcomes(transport, { kind: "mx", domain });

test("the best MX gets the mail (RFC 5321 §5.1)", async () => {
  assert.deepEqual((await byMx("mx.test")).map(summary), ["delivered"]);
  assert.equal(first.received.length, 1);
  assert.equal(second.received.length, 0);
});

test("a domain without MX is its own host (RFC 5321 §5.1)", async () => {
  assert.deepEqual((await byMx("implicit.test")).map(summary), ["delivered"]);
  assert.equal(second.received.length, 1);
});

for (const [domain, expected, why] of [
  ["null.test", "rejected 5.1.10 dns", "a null MX (RFC 7505)"],
  ["nowhere.test", "rejected 5.1.2 dns", "no such domain"],
  ["nothing.test", "rejected 5.4.4 dns", "neither MX nor address"],
  [
    "unusable.test",
    "rejected 5.4.4 dns",
    "an MX that leads nowhere never falls back to the domain's address",
  ],
  ["literal-mx.test", "rejected 5.4.4 dns", "an address is no host name of an MX"],
  ["own.test", "rejected 5.4.6 dns", "this gateway as the best MX"],
  [
    "endless.test",
    "deferred 4.4.3 dns",
    "more MX hosts than are looked at, the first twenty without an address",
  ],
  ["broken.test", "deferred 4.4.3 dns", "a failed look-up"],
  ["only-broken.test", "deferred 4.4.3 dns", "a host whose addresses cannot be looked up"],
  ["[192.0.2]", "rejected 5.1.2 dns", "a broken address literal"],
] as const) {
  test(`${why}: ${expected}`, async () => {
    assert.deepEqual((await byMx(domain)).map(summary), [expected]);
    assert.equal(first.received.length + second.received.length, 0);
  });
}

test("hosts that are not preferred to this gateway are not tried (RFC 5321 §5.1)", async () => {
  const result = await attempt(transport, { kind: "mx", domain: "backup-own.test" });
  assert.equal(result.kind === "tried" && result.facts.tries.length, 1);
  assert.equal(first.received.length, 1);
});

test("after a host whose addresses cannot be looked up the next is tried", async () => {
  assert.deepEqual((await byMx("half.test")).map(summary), ["delivered"]);
});

test("a host's second address is tried when the first does not answer (RFC 5321 §5.1)", async () => {
  const result = await attempt(transport, { kind: "mx", domain: "multi.test" });
  assert.ok(result.kind === "tried");
  assert.deepEqual(
    result.facts.tries.map(({ host, address }) => `${host} ${address}`),
    ["multi.test 127.0.0.23", `multi.test ${second.address}`],
  );
  assert.equal(second.received.length, 1);
});

test("an address that three MX names lead to is asked once", async (t) => {
  const peer = await startSmtpPeer({
    address: "127.0.0.24",
    port: first.port,
    script: { rcpt: () => "450 4.7.1 greylisted" },
  });
  t.after(() => peer.stop());
  assert.deepEqual((await byMx("names.test")).map(summary), ["deferred 4.7.1 4xx"]);
  assert.equal(peer.connections, 1);
});

test("a session that was open already counts: its address is not asked again", async (t) => {
  let said: string | undefined;
  const peer = await startSmtpPeer({ address: "127.0.0.24", port: first.port, script: { rcpt: () => said } });
  t.after(() => peer.stop());
  assert.deepEqual((await byMx("names.test")).map(summary), ["delivered"]);
  said = "450 4.7.1 greylisted";
  assert.deepEqual((await byMx("names.test")).map(summary), ["deferred 4.7.1 4xx"]);
  assert.equal(peer.connections, 1);
});

test("no attempt goes through more than five hosts", async () => {
  const result = await attempt(transport, { kind: "mx", domain: "many.test" });
  assert.ok(result.kind === "tried");
  assert.equal(result.facts.tries.length, 5);
  assert.equal(summary(result.outcomes.get(0)), "deferred 4.4.1 connect");
});

test("an address literal needs no DNS (RFC 5321 §4.1.3)", async () => {
  zone.queries.length = 0;
  assert.deepEqual((await byMx(`[${second.address}]`)).map(summary), ["delivered"]);
  assert.equal(zone.queries.length, 0);
});

test("a relay host may be a name of the hosts file", async () => {
  const hostsFile = Object.assign(new HostsFile(), { addresses: () => [second.address] });
  const local = testTransport({ dns: zone, options: { hostsFile } });
  const hop = { kind: "host", host: { host: "relay", port: second.port } } as const;
  assert.deepEqual((await outcomes(local, hop)).map(summary), ["delivered"]);
  await local.close(1000);
});

test("a configured host without an address defers: the configuration is wrong", async () => {
  const hop = { kind: "host", host: { host: "nowhere.test", port: 25 } } as const;
  assert.deepEqual((await outcomes(transport, hop)).map(summary), ["deferred 4.4.4 dns"]);
});
