import assert from "node:assert/strict";
import { test } from "node:test";
import { isLoopback } from "../../../shared/transport/loopback.ts";
import { tlsPolicy } from "../../../shared/transport/tls-policy.ts";

test("without a password, level may goes on in clear text where TLS is not to be had (RFC 7435)", () => {
  const { tries, needs, fallsBack } = tlsPolicy("may", false, false);
  assert.deepEqual({ tries, needs, fallsBack }, { tries: true, needs: false, fallsBack: true });
});

test("a password is sent under TLS, or to this machine, or where the operator says none", () => {
  assert.equal(tlsPolicy("may", true, false).needs, true);
  assert.equal(tlsPolicy("may", true, true).needs, false);
  assert.equal(tlsPolicy("none", true, false).needs, false);
});

test("a password is never sent in clear text after a failed handshake", () => {
  for (const level of ["none", "may", "require", "verify"] as const) {
    assert.equal(tlsPolicy(level, true, false).fallsBack, false);
    assert.equal(tlsPolicy(level, true, true).fallsBack, false);
  }
});

test("require and verify do nothing without TLS, and only verify checks the certificate", () => {
  for (const level of ["require", "verify"] as const) {
    const { needs, fallsBack, verifies } = tlsPolicy(level, false, false);
    assert.deepEqual(
      { needs, fallsBack, verifies },
      { needs: true, fallsBack: false, verifies: level === "verify" },
    );
  }
});

test("loopback is 127.0.0.0/8 and ::1", () => {
  for (const address of ["127.0.0.1", "127.8.9.10", "::1"]) assert.ok(isLoopback(address));
  for (const address of ["126.0.0.1", "192.0.2.1", "::2", "2001:db8::1"]) assert.ok(!isLoopback(address));
});
