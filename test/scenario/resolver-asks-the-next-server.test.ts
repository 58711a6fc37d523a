import assert from "node:assert/strict";
import { test } from "node:test";
import { createResolver } from "../../shared/smtp-client/dns/resolver.ts";
import { type Behaviour, type DnsZone, startDnsZone } from "../support/dns-zone.ts";

async function withTwo(run: (first: DnsZone, second: DnsZone) => Promise<void>): Promise<void> {
  const first = await startDnsZone({ "example.org": { A: ["192.0.2.1"] } });
  const second = await startDnsZone({
    "example.org": { A: ["192.0.2.2"] },
    "other.org": { A: ["192.0.2.3"] },
  });
  try {
    await run(first, second);
  } finally {
    await Promise.all([first.stop(), second.stop()]);
  }
}

const resolverOf = (zones: DnsZone[], timeoutMs = 30_000) =>
  createResolver({ servers: zones.map(({ port }) => ({ host: "127.0.0.1", port })), timeoutMs });

test("servers are asked in order: the first one's answer counts", async () => {
  await withTwo(async (first, second) => {
    const answer = await resolverOf([first, second]).a("example.org");
    assert.deepEqual(answer.kind === "found" && answer.records, ["192.0.2.1"]);
    assert.equal(second.queries.length, 0);
  });
});

test("'no such name' from the first server is an answer", async () => {
  await withTwo(async (first, second) => {
    assert.equal((await resolverOf([first, second]).a("other.org")).kind, "nxdomain");
    assert.equal(second.queries.length, 0);
  });
});

for (const behaviour of ["servfail", "refused", "silent"] satisfies Behaviour[]) {
  test(`a first server that is ${behaviour} is followed by a question to the second`, async () => {
    await withTwo(async (first, second) => {
      first.behave(behaviour);
      const resolver = resolverOf([first, second], behaviour === "silent" ? 500 : undefined);
      const answer = await resolver.a("example.org");
      assert.deepEqual(answer.kind === "found" && answer.records, ["192.0.2.2"]);
    });
  });
}

test("a server that did not answer is asked last for a while", async () => {
  await withTwo(async (first, second) => {
    first.behave("silent");
    const resolver = resolverOf([first, second], 500);
    await resolver.a("example.org");
    const asked = first.queries.length;
    assert.equal((await resolver.a("other.org")).kind, "found");
    assert.equal(first.queries.length, asked);
  });
});
