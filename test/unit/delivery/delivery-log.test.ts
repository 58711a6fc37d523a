import assert from "node:assert/strict";
import { test } from "node:test";
import { logOutcomes } from "../../../services/delivery/delivery-log.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { AddressTry } from "../../../shared/smtp-client/smtp-client.ts";
import { testMessage } from "../../support/smtp-client-fixture.ts";

const remote = { host: "mx.test", address: "192.0.2.25", port: 25 };
const reply = { code: 250, lines: ["ok"], command: "DOT" as const };

/** The line of a delivery whose last address was tried so. */
function lineOf(last: Pick<AddressTry, "policy" | "tls" | "tlsFailure" | "stsFailure">) {
  const lines: Record<string, unknown>[] = [];
  const log = { info: (line: Record<string, unknown>) => lines.push(line) } as unknown as Logger;
  const { meta } = testMessage();
  const group = {
    nextHop: { kind: "mx", domain: "example.org" } as const,
    row: "relay" as const,
    recipients: [0],
    withoutBackup: true,
  };
  const tries = [{ ...remote, reused: false, result: "", durationMs: 1, ...last }];
  const facts = { destination: "example.org", tries, durationMs: 1 };
  const outcomes = new Map([[0, { kind: "delivered" as const, reply, remote, dsnPassedOn: false }]]);
  logOutcomes(log, { jobId: "j", meta, group, attempt: 1 }, outcomes, facts, 0, undefined);
  return lines[0] ?? {};
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
  assert.deepEqual(lineOf({ policy: "dane", tls }).tls, { ...rest, policy: level, peer: peerName });
});

test("in clear text it names the policy that allowed it, and why TLS failed", () => {
  const { tls, tlsFailure } = lineOf({ policy: "may", tlsFailure: "handshake" });
  assert.deepEqual([tls, tlsFailure], [{ policy: "may" }, "handshake"]);
});

test("what an MTA-STS policy in testing would have refused stands in it (RFC 8461 §5)", () => {
  assert.equal(lineOf({ policy: "may", stsFailure: "there was no TLS" }).stsFailure, "there was no TLS");
});
