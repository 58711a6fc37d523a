import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type { NextHop } from "../../shared/routing/next-hop.ts";
import { HostsFile } from "../../shared/smtp-client/dns/system.ts";
import { type DnsZone, startDnsZone } from "../support/dns-zone.ts";
import { outcomes, servers, summary, testTransport, via } from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";

let zone: DnsZone;
/** Another mail server, on this machine as everything here. */
let peer: SmtpPeer;

const ownAddress = "192.0.2.1";
const mx = (host: string) => ({ MX: [[10, host]] as [number, string][] });

before(async () => {
  peer = await startSmtpPeer({ address: "127.0.0.21" });
  zone = await startDnsZone({
    "peer.test": { A: [peer.address] },
    "any4.test": { A: ["0.0.0.0"] },
    "any6.test": { AAAA: ["::"] },
    "loopback6.test": { AAAA: ["::1"] },
    "mapped.test": { AAAA: ["::ffff:7f00:15"] },
    "own-address.test": { A: [ownAddress] },
    "one-of-two.test": { A: ["198.51.100.1", ownAddress] },
    "broken-host.test": { A: ["192.0.2.9"], behave: "servfail" },
    "listener.test": { A: ["127.0.0.22"] },
    "to-any4.test": mx("any4.test"),
    "to-any6.test": mx("any6.test"),
    "to-loopback4.test": mx("peer.test"),
    "to-loopback6.test": mx("loopback6.test"),
    "to-mapped.test": mx("mapped.test"),
    "to-own-address.test": mx("own-address.test"),
    "to-one-of-two.test": mx("one-of-two.test"),
    "preferred.test": {
      MX: [
        [10, "peer.test"],
        [20, "listener.test"],
        [30, "nowhere.test"],
      ],
    },
    "equal.test": {
      MX: [
        [10, "peer.test"],
        [10, "listener.test"],
      ],
    },
    "not-preferred.test": {
      MX: [
        [10, "listener.test"],
        [20, "peer.test"],
      ],
    },
    "unknown-preferred.test": {
      MX: [
        [10, "broken-host.test"],
        [20, "listener.test"],
      ],
    },
  });
});
after(() => Promise.all([peer.stop(), zone.stop()]));
beforeEach(() => {
  peer.received.length = 0;
});

/** @param loopback  with `allow`, a listener of this gateway on 127.0.0.22 is all that is its own */
async function send(nextHop: NextHop, loopback: "refuse" | "allow") {
  const listener = { name: "mx", address: "127.0.0.22", port: peer.port };
  const transport = testTransport({
    config: { delivery: { loopback }, listeners: [listener] },
    dns: zone,
    options: {
      mxPort: peer.port,
      ownAddresses: () => new Set([ownAddress]),
      hostsFile: new HostsFile("/nowhere"),
    },
  });
  try {
    return await outcomes(transport, nextHop);
  } finally {
    await transport.close(1_000);
  }
}
const byMx = (domain: string): NextHop => ({ kind: "mx", domain });

for (const [domain, why] of [
  ["to-any4.test", "an MX host with the address 0.0.0.0"],
  ["to-any6.test", "an MX host with the address ::"],
  ["to-loopback4.test", "an MX host on loopback"],
  ["to-loopback6.test", "an MX host on ::1"],
  ["to-mapped.test", "an MX host on loopback, its address written as ::ffff:127.0.0.21"],
  ["to-own-address.test", "an MX host with an address of the gateway"],
  ["to-one-of-two.test", "an MX host one of whose addresses is the gateway's"],
  ["peer.test", "a domain without MX whose own address is on loopback"],
  ["[127.0.0.21]", "an address literal on loopback"],
  ["[0.0.0.0]", "the address literal 0.0.0.0"],
  ["[IPv6:::1]", "the address literal ::1"],
  ["[IPv6:::ffff:127.0.0.21]", "an address literal on loopback, written as IPv6"],
  [`[${ownAddress}]`, "an address literal with an address of the gateway"],
] as const) {
  test(`mail for ${why} would come back and is returned with 5.4.6`, async () => {
    const [outcome] = await send(byMx(domain), "refuse");
    assert.equal(summary(outcome), "rejected 5.4.6 dns");
    assert.match(outcome?.kind === "rejected" ? outcome.diagnosis.reason : "", /is this gateway itself$/);
    assert.equal(peer.received.length, 0);
  });
}

for (const domain of ["to-loopback4.test", "to-mapped.test", "peer.test", "[127.0.0.21]"]) {
  test(`where loopback is allowed, ${domain} gets its mail`, async () => {
    assert.deepEqual((await send(byMx(domain), "allow")).map(summary), ["delivered"]);
    assert.equal(peer.received.length, 1);
  });
}

test("a preferred MX host gets the mail, whoever is behind it (RFC 5321 §5.1)", async () => {
  assert.deepEqual((await send(byMx("preferred.test"), "allow")).map(summary), ["delivered"]);
});

for (const domain of ["equal.test", "not-preferred.test"]) {
  test(`an MX host that is not preferred to the gateway's address is not tried: ${domain} (RFC 5321 §5.1)`, async () => {
    assert.deepEqual((await send(byMx(domain), "allow")).map(summary), ["rejected 5.4.6 dns"]);
    assert.equal(peer.received.length, 0);
  });
}

test("mail waits while the address of a preferred MX host cannot be looked up", async () => {
  assert.deepEqual((await send(byMx("unknown-preferred.test"), "allow")).map(summary), [
    "deferred 4.4.3 dns",
  ]);
});

test("servers on loopback that the configuration names get their mail", async () => {
  assert.deepEqual((await send(via(peer), "refuse")).map(summary), ["delivered"]);
  assert.deepEqual((await send(servers(peer), "refuse")).map(summary), ["delivered"]);
  const byName = via({ address: "peer.test", port: peer.port });
  assert.deepEqual((await send(byName, "refuse")).map(summary), ["delivered"]);
  assert.equal(peer.received.length, 3);
});

for (const host of ["127.0.0.22", "listener.test"]) {
  test(`a configured server that is a listener of this gateway is not dialled: ${host}`, async () => {
    const self = { address: host, port: peer.port };
    assert.deepEqual((await send(via(self), "allow")).map(summary), ["deferred 4.4.6 network"]);
    assert.deepEqual((await send({ ...servers(self), hide: true }, "allow")).map(summary), [
      "deferred 4.4.6 network",
    ]);
    assert.deepEqual((await send(servers(self, peer), "allow")).map(summary), ["delivered"]);
  });
}
