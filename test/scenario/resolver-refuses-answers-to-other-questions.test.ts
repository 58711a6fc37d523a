import assert from "node:assert/strict";
import { test } from "node:test";
import { createResolver } from "../../shared/smtp-client/dns/resolver.ts";
import { type Behaviour, startDnsZone } from "../support/dns-zone.ts";
import { waitFor } from "../support/wait-for.ts";

for (const behaviour of [
  "wrong-id",
  "wrong-question",
  "wrong-type",
  "wrong-source",
  "no-qr",
] satisfies Behaviour[]) {
  test(`an answer with ${behaviour} is ignored (RFC 5452 §3)`, async () => {
    const zone = await startDnsZone({ "example.org": { A: ["192.0.2.66"], behave: behaviour } });
    try {
      const resolver = createResolver({ servers: [{ host: "127.0.0.1", port: zone.port }], timeoutMs: 150 });
      assert.equal((await resolver.a("example.org")).kind, "unavailable");
      await waitFor("the question to be asked twice", () => zone.queries.length >= 2);
    } finally {
      await zone.stop();
    }
  });
}
