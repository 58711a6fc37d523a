import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type DnsZone, startDnsZone } from "../support/dns-zone.ts";
import {
  attempt,
  outcomes,
  summary,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import {
  type Answer,
  hang,
  type SmtpPeer,
  type SmtpScript,
  startSmtpPeer,
  thenClose,
} from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

type Limits = { match: string; connections: number }[];

/** Domains d1.test, d2.test … whose mail server is one host. */
async function sharedHost(t: TestContext, script: SmtpScript, destinations: Limits) {
  const peer: SmtpPeer = await startSmtpPeer({ address: "127.0.0.9", script });
  const domains = ["d1.test", "d2.test", "d3.test", "d4.test"];
  const zone: DnsZone = await startDnsZone({
    ...Object.fromEntries(
      domains.map((domain) => [domain, { MX: [[10, "mx.host.test"]] as [number, string][] }]),
    ),
    "mx.host.test": { A: ["127.0.0.9"] },
  });
  const transport = testTransport({
    config: { limits: { destinations } },
    dns: zone,
    options: { mxPort: peer.port },
  });
  t.after(async () => {
    await transport.close(0);
    await zone.stop();
    await peer.stop();
  });
  return { peer, transport, domains };
}

for (const [name, destinations] of [
  ["the limit for any destination", [{ match: "*", connections: 3 }]],
  [
    "the limit that names the host",
    [
      { match: "mx.host.test", connections: 3 },
      { match: "*", connections: 20 },
    ],
  ],
  [
    "the limit that names its address",
    [
      { match: "127.0.0.9", connections: 3 },
      { match: "*", connections: 20 },
    ],
  ],
] as [string, Limits][]) {
  test(`domains with one mail server share its connections: ${name}`, async (t) => {
    const { peer, transport, domains } = await sharedHost(t, { mail: () => hang }, destinations);
    const stop = new AbortController();
    const all = domains.flatMap((domain) =>
      Array.from({ length: 3 }, () => attempt(transport, { kind: "mx", domain }, testMessage(), stop.signal)),
    );
    let full = 0;
    for (const one of all) void one.then(({ kind }) => kind === "full" && full++);
    await waitFor("the others to be told that it is full", () => full === all.length - 3);
    assert.equal(peer.connections, 3);
    stop.abort();
    await Promise.all(all);
  });
}

test("an entry for a domain with more connections than others get holds at its mail server too", async (t) => {
  const { peer, transport } = await sharedHost(t, { mail: () => hang }, [
    { match: "d1.test", connections: 4 },
    { match: "*", connections: 2 },
  ]);
  const stop = new AbortController();
  const all = Array.from({ length: 4 }, () =>
    attempt(transport, { kind: "mx", domain: "d1.test" }, testMessage(), stop.signal),
  );
  await waitFor("all to be open", () => peer.open === 4);
  stop.abort();
  await Promise.all(all);
});

test("an idle connection of one domain makes room for another domain with the same mail server", async (t) => {
  const { peer, transport } = await sharedHost(t, {}, [{ match: "*", connections: 1 }]);
  for (const domain of ["d1.test", "d2.test"]) {
    await waitFor(`${domain} to have its mail`, async () => {
      const result = await attempt(transport, { kind: "mx", domain });
      return result.kind === "tried" && result.outcomes.get(0)?.kind === "delivered";
    });
  }
  assert.equal(peer.received.length, 2);
});

type Refuse = (connection: number) => Answer | undefined;

for (const [name, scriptWith] of [
  ["in the greeting", (refuse) => ({ connect: refuse })],
  ["to EHLO", (refuse) => ({ ehlo: (_, connection) => refuse(connection) })],
  ["to MAIL", (refuse) => ({ mail: (_, __, connection) => refuse(connection) })],
] as [string, (refuse: Refuse) => SmtpScript][]) {
  test(`a server that says 421 ${name} because it has three connections gets three, and no mail is put off`, async (t) => {
    const taken = new Set<number>();
    let refused = 0;
    const script = scriptWith((connection) => {
      if (taken.size < 3) taken.add(connection);
      if (taken.has(connection)) return undefined;
      refused++;
      return tooMany;
    });
    const release = Promise.withResolvers<undefined>();
    const { peer, transport, domains } = await sharedHost(t, { ...script, message: () => release.promise }, [
      { match: "*", connections: 20 },
    ]);
    let full = 0;
    async function deliver(domain: string): Promise<string> {
      for (;;) {
        const result = await attempt(transport, { kind: "mx", domain });
        if (result.kind === "tried") return summary(result.outcomes.get(0));
        if (++full === 10) release.resolve(undefined);
        // Sockets get their turn.
        await new Promise(setImmediate);
      }
    }
    const [first = ""] = domains;
    const done = await Promise.all(Array.from({ length: 13 }, () => deliver(first)));
    assert.deepEqual([...new Set(done)], ["delivered"]);
    assert.ok(refused <= 10, `${refused} refused`);
    assert.equal(peer.received.length, 13);
  });
}

test("421 from a server that has no other connection of ours is an ordinary deferral", async (t) => {
  const peer = await startSmtpPeer({ script: { connect: () => tooMany } });
  const transport = testTransport();
  t.after(async () => {
    await transport.close(0);
    await peer.stop();
  });
  assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["deferred 4.7.0 4xx"]);
});

const tooMany = thenClose("421 4.7.0 too many connections from you");
