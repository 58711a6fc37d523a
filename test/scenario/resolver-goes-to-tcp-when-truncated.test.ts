import assert from "node:assert/strict";
import { test } from "node:test";
import { createResolver } from "../../shared/smtp-client/dns/resolver.ts";
import { startDnsZone } from "../support/dns-zone.ts";

test("a truncated answer is fetched whole over TCP (RFC 7766 §5)", async () => {
  const many = Array.from({ length: 200 }, (_, i) => `192.0.2.${i}`);
  const zone = await startDnsZone({
    "many.test": { A: many },
    "tc.test": { A: ["192.0.2.1"], behave: "truncated" },
  });
  try {
    const resolver = createResolver({ servers: [{ host: "127.0.0.1", port: zone.port }], timeoutMs: 30_000 });
    const answer = await resolver.a("many.test");
    assert.equal(answer.kind === "found" && answer.records.length, 200);
    assert.equal((await resolver.a("tc.test")).kind, "found");
    assert.deepEqual(
      zone.queries.map(({ transport }) => transport),
      ["udp", "tcp", "udp", "tcp"],
    );
  } finally {
    await zone.stop();
  }
});

test("a server that does not answer over TCP is given up at a deadline", async () => {
  const zone = await startDnsZone({ "tc.test": { A: ["192.0.2.1"], behave: "truncated-silent-tcp" } });
  try {
    const resolver = createResolver({ servers: [{ host: "127.0.0.1", port: zone.port }], timeoutMs: 100 });
    assert.equal((await resolver.a("tc.test")).kind, "unavailable");
  } finally {
    await zone.stop();
  }
});
