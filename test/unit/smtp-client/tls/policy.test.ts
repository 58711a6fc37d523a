import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoopback } from "../../../../shared/net/network.ts";
import type { TlsLevel } from "../../../../shared/routing/next-hop.ts";
import {
  decideHost,
  levelForRequireTls,
  type Published,
  policiesToLookUp,
  testingFailure,
  tlsPolicy,
  unpublished,
} from "../../../../shared/smtp-client/tls/policy.ts";

const levels = ["none", "may", "require", "verify", "dane", "mta-sts"] as const;
type Level = (typeof levels)[number];
const session = (level: Level, hasPassword: boolean, isLocal: boolean) =>
  tlsPolicy(unpublished(level), hasPassword, isLocal);

test("without a password, level may continues in clear text where TLS fails (RFC 7435)", () => {
  const { tries, needs, fallsBack } = session("may", false, false);
  assert.deepEqual({ tries, needs, fallsBack }, { tries: true, needs: false, fallsBack: true });
});

test("a password is sent under TLS, or to this machine, or where the operator says none", () => {
  assert.equal(session("may", true, false).needs, true);
  assert.equal(session("may", true, true).needs, false);
  assert.equal(session("none", true, false).needs, false);
});

test("a password is never sent in clear text after a failed handshake", () => {
  for (const level of levels) {
    assert.equal(session(level, true, false).fallsBack, false);
    assert.equal(session(level, true, true).fallsBack, false);
  }
});

test("levels above may need TLS, and levels above require need proof", () => {
  for (const level of ["require", "verify", "dane", "mta-sts"] as const) {
    const { needs, fallsBack, verifies } = session(level, false, false);
    assert.deepEqual(
      { needs, fallsBack, verifies },
      { needs: true, fallsBack: false, verifies: level !== "require" },
    );
  }
});

test("loopback is 127.0.0.0/8 and ::1", () => {
  for (const address of ["127.0.0.1", "127.8.9.10", "::1"]) assert.ok(isLoopback(address));
  for (const address of ["126.0.0.1", "192.0.2.1", "::2", "2001:db8::1"]) assert.ok(!isLoopback(address));
});

const record = { usage: 3, selector: 1, matching: 1, data: Buffer.alloc(32) };
const dane: Record<"none" | "usable" | "unusable" | "unavailable", Published["dane"]> = {
  none: { kind: "none", reason: "no TLSA" },
  usable: { kind: "usable", records: [record], base: "base.test" },
  unusable: { kind: "unusable" },
  unavailable: { kind: "unavailable", reason: "SERVFAIL" },
};
const sts: Record<string, Published["sts"]> = {
  none: { kind: "none", reason: "no record" },
  enforce: { kind: "policy", mode: "enforce", listsHost: true },
  unlisted: { kind: "policy", mode: "enforce", listsHost: false },
  testing: { kind: "policy", mode: "testing", listsHost: true },
  tested: { kind: "policy", mode: "testing", listsHost: false },
};

/** `mta-sts pkix`, or `refused 4.7.0`. */
function brief(level: Level, published: Published): string {
  const decision = decideHost(level, published, ["example.test"]);
  if (decision.kind === "refused") return `refused ${decision.status}`;
  const { tls } = decision;
  const testing = tls.stsTesting === undefined ? "" : " testing";
  return `${tls.level} ${tls.proof.kind}${testing}`;
}

for (const [daneIs, stsIs, expected] of [
  [
    "none",
    "none",
    ["none pkix", "may pkix", "require pkix", "verify pkix", "refused 4.7.0", "refused 4.7.0"],
  ],
  ["usable", "none", Array(6).fill("dane dane")],
  ["usable", "unlisted", Array(6).fill("dane dane")],
  ["unavailable", "enforce", Array(6).fill("refused 4.4.3")],
  [
    "unusable",
    "none",
    ["none pkix", "require pkix", "require pkix", "verify pkix", "refused 4.7.0", "refused 4.7.0"],
  ],
  ["unusable", "enforce", ["", "mta-sts pkix", "mta-sts pkix", "mta-sts pkix", "", "mta-sts pkix"]],
  ["none", "enforce", ["", "mta-sts pkix", "mta-sts pkix", "mta-sts pkix", "", "mta-sts pkix"]],
  ["none", "unlisted", ["", "refused 4.7.0", "refused 4.7.0", "refused 4.7.0", "", "refused 4.7.0"]],
  [
    "none",
    "testing",
    ["", "may pkix testing", "require pkix testing", "verify pkix testing", "", "mta-sts pkix"],
  ],
  [
    "none",
    "tested",
    ["", "may pkix testing", "require pkix testing", "verify pkix testing", "", "refused 4.7.0"],
  ],
] satisfies [keyof typeof dane, string, string[]][]) {
  test(`DANE ${daneIs}, MTA-STS ${stsIs} (RFC 7672 §2.2, RFC 8461 §2 and §5)`, () => {
    for (const [i, level] of levels.entries()) {
      // "": nobody looks for it under this level.
      if (expected[i] === "") continue;
      assert.equal(
        brief(level, { dane: dane[daneIs], sts: sts[stsIs] ?? { kind: "none", reason: "" } }),
        expected[i],
        level,
      );
    }
  });
}

test("a DANE trust anchor may certify the base domain, which is sent as SNI, and the domain (RFC 7672 §3.2.3, §8.1)", () => {
  const decision = decideHost("may", { dane: dane.usable, sts: { kind: "none", reason: "" } }, [
    "example.test",
    "base.test",
  ]);
  assert.ok(decision.kind === "host" && decision.tls.proof.kind === "dane");
  assert.deepEqual(decision.tls.proof.names, ["base.test", "example.test"]);
});

test("MTA-STS requires a subject alternative name, level verify accepts the common name too (RFC 8461 §4.2)", () => {
  const none = { kind: "none", reason: "" } as const;
  const enforce = { kind: "policy", mode: "enforce", listsHost: true } as const;
  const bySts = decideHost("may", { dane: none, sts: enforce });
  const byName = decideHost("verify", { dane: none, sts: none });
  assert.deepEqual(bySts.kind === "host" && bySts.tls.proof, { kind: "pkix", dnsIdOnly: true });
  assert.deepEqual(byName.kind === "host" && byName.tls.proof, { kind: "pkix", dnsIdOnly: false });
});

test("published policies are looked up at every level but none, unless switched off", () => {
  const on = { dane: true, mtaSts: true };
  const off = { dane: false, mtaSts: false };
  const requirements = (level: TlsLevel, ignoresPublished = false) => ({ level, ignoresPublished });
  assert.deepEqual(policiesToLookUp(requirements("none"), on), off);
  for (const level of ["may", "require", "verify"] as const) {
    assert.deepEqual(policiesToLookUp(requirements(level), on), on);
    assert.deepEqual(policiesToLookUp(requirements(level), off), off);
  }
  assert.deepEqual(policiesToLookUp(requirements("dane"), off), { dane: true, mtaSts: false });
  assert.deepEqual(policiesToLookUp(requirements("mta-sts"), off), { dane: false, mtaSts: true });
  // RFC 8689 §8.4: as if we knew neither; what the operator insists on stays.
  assert.deepEqual(policiesToLookUp(requirements("may", true), on), off);
  assert.deepEqual(policiesToLookUp(requirements("dane", true), on), { dane: true, mtaSts: false });
});

test("REQUIRETLS needs proof at every level (RFC 8689 §4.2.1)", () => {
  for (const level of ["none", "may", "require", "verify"] as const) {
    assert.equal(levelForRequireTls(level), "verify");
  }
  assert.equal(levelForRequireTls("dane"), "dane");
});

test("a policy in mode testing reports what enforce would have refused (RFC 8461 §5)", () => {
  assert.equal(testingFailure({ listsHost: true }, { verified: true }), undefined);
  assert.match(testingFailure({ listsHost: false }, { verified: true }) ?? "", /does not list/);
  assert.match(testingFailure({ listsHost: true }, undefined) ?? "", /no TLS/);
  assert.equal(testingFailure({ listsHost: true }, { verified: false, failure: "expired" }), "expired");
});
