/** This machine cannot make a connection: the mail waits, and the destination is not taken for dead. */
import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { type TestContext, test } from "node:test";
import type { AttemptResult } from "../../shared/smtp-client/smtp-client.ts";
import { startDnsZone } from "../support/dns-zone.ts";
import { attempt, servers, summary, testTransport } from "../support/smtp-client-fixture.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";

/** Of a documentation network: no machine has it. */
const notOurs = "203.0.113.7";

async function world(t: TestContext, sources: string[] = []) {
  const peer = await startSmtpPeer();
  const transport = testTransport({ config: { delivery: { source_addresses: sources } } });
  t.after(async () => {
    await transport.close(1000);
    await peer.stop();
  });
  return { peer, deliver: () => attempt(transport, servers(peer)) };
}

function outcomeOf(result: AttemptResult): string {
  assert.ok(result.kind === "tried");
  assert.equal(result.facts.remembered, undefined, "the destination is in the dead-destination cache");
  return summary(result.outcomes.get(0));
}

/** Takes every descriptor that this process may have. @returns what gives them back */
function exhaustDescriptors(): () => void {
  const taken: number[] = [];
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch {
    return () => {
      for (const descriptor of taken) closeSync(descriptor);
    };
  }
}

test("without a free file descriptor mail is deferred as a local fault, and goes out as soon as there is one", async (t) => {
  const { deliver } = await world(t);
  const giveBack = exhaustDescriptors();
  const result = await deliver().finally(giveBack);
  assert.equal(outcomeOf(result), "deferred 4.3.0 local");
  assert.equal(outcomeOf(await deliver()), "delivered");
});

test("without a free file descriptor no name server can be asked: a local fault, which is over with it", async (t) => {
  const peer = await startSmtpPeer();
  const zone = await startDnsZone({
    "example.org": { MX: [[10, "mx.example.org"]] },
    "mx.example.org": { A: ["127.0.0.1"] },
  });
  const transport = testTransport({ dns: zone, options: { mxPort: peer.port } });
  t.after(() => Promise.all([transport.close(1000), peer.stop(), zone.stop()]));
  const deliver = () => attempt(transport, { kind: "mx", domain: "example.org" });
  const giveBack = exhaustDescriptors();
  const result = await deliver().finally(giveBack);
  assert.equal(outcomeOf(result), "deferred 4.3.0 local");
  assert.equal(zone.queries.length, 0);
  assert.equal(outcomeOf(await deliver()), "delivered");
});

test("a source address that is not here is a local fault, and the reason names it", async (t) => {
  const { deliver } = await world(t, [notOurs]);
  for (let i = 0; i < 2; i++) {
    const result = await deliver();
    assert.equal(outcomeOf(result), "deferred 4.3.0 local");
    const outcome = result.kind === "tried" && result.outcomes.get(0);
    assert.match(
      outcome && outcome.kind === "deferred" ? outcome.diagnosis.reason : "",
      /from 203\.0\.113\.7/,
    );
  }
});

test("where one source address cannot be used, the next is", async (t) => {
  const { peer, deliver } = await world(t, [notOurs, "127.0.0.77"]);
  const result = await deliver();
  assert.equal(outcomeOf(result), "delivered");
  assert.equal(peer.received[0]?.clientAddress, "127.0.0.77");
  const [only, ...others] = result.kind === "tried" ? result.facts.tries : [];
  assert.deepEqual(others, []);
  assert.match(only?.sourceFailure ?? "", /203\.0\.113\.7/);
});

test("a fault of this machine does not hide that the server could not be reached", async (t) => {
  const gone = await startSmtpPeer();
  await gone.stop();
  const transport = testTransport();
  t.after(() => transport.close(1000));
  // Linux permits no connection to the broadcast address.
  const result = await attempt(transport, servers(gone, { address: "255.255.255.255", port: 25 }));
  assert.equal(outcomeOf(result), "deferred 4.4.1 connect");
});
