import assert from "node:assert/strict";
import { test } from "node:test";
import { outcomeLines } from "../../../services/delivery/delivery-log.ts";
import type { AddressTry } from "../../../shared/smtp-client/smtp-client.ts";
import { delivered, groupOf, loadedJob } from "./worker-fixture.ts";

/** The fields of a delivery whose last address was tried so. */
function fieldsOf(last: Pick<AddressTry, "policy" | "tls" | "tlsFailure" | "stsFailure">) {
  const mx = { host: "mx.test", address: "192.0.2.25", port: 25 };
  const tries = [{ ...mx, reused: false, result: "", durationMs: 1, ...last }];
  const facts = { destination: "example.org", tries, durationMs: 1 };
  const outcomes = new Map([[0, delivered()]]);
  const [line] = outcomeLines(loadedJob(), groupOf([0]), outcomes, facts, 0, undefined);
  assert.ok(line);
  return line.fields;
}

test("a delivery's line names the TLS policy, protocol, cipher, peer name and the TLSA record that matched", () => {
  const tls = {
    protocol: "TLSv1.3",
    cipher: "TLS_AES_256_GCM_SHA384",
    level: "dane",
    peerName: "mx.test",
    verified: true,
    tlsa: "3 1 1",
  } as const;
  const { level, peerName, ...rest } = tls;
  assert.deepEqual(fieldsOf({ policy: "dane", tls }).tls, { ...rest, policy: level, peer: peerName });
});

test("in clear text it names the policy that allowed it, and why TLS failed", () => {
  const { tls, tlsFailure } = fieldsOf({ policy: "may", tlsFailure: "handshake" });
  assert.deepEqual([tls, tlsFailure], [{ policy: "may" }, "handshake"]);
});

test("what an MTA-STS policy in testing would have refused stands in it (RFC 8461 §5)", () => {
  assert.equal(fieldsOf({ policy: "may", stsFailure: "there was no TLS" }).stsFailure, "there was no TLS");
});
