import assert from "node:assert/strict";
import { test } from "node:test";
import type { NextHop } from "../../../shared/routing/next-hop.ts";
import { sessionTerms } from "../../../shared/smtp-client/session-terms.ts";
import { relay, servers, testMessage, via } from "../../support/smtp-client-fixture.ts";

const server = { address: "192.0.2.25", port: 25 };
const hidden: NextHop = { ...servers(server), hide: true };
const deps = {
  hostname: "gw.example.net",
  tlsLevelOf: () => "may" as const,
  transparentSourceOf: () => "192.0.2.7",
};
const termsOf = (nextHop: NextHop, given: Parameters<typeof testMessage>[0] = {}) =>
  sessionTerms({ nextHop, message: testMessage(given).meta }, deps);

test("only a hidden delivery shows the client's name and address", () => {
  const { helo, transparentSource } = termsOf(hidden, { helo: "client.example" });
  assert.deepEqual([helo, transparentSource], ["client.example", "192.0.2.7"]);
  for (const nextHop of [servers(server), via(server), relay(server)]) {
    const open = termsOf(nextHop, { helo: "client.example" });
    assert.deepEqual([open.helo, open.transparentSource], ["gw.example.net", undefined]);
  }
});

test("a HELO name that would break our EHLO is replaced by the gateway's", () => {
  for (const helo of ["bad\r\nQUIT", "", "two words", "x".repeat(256)]) {
    assert.equal(termsOf(hidden, { helo }).helo, "gw.example.net");
  }
});

test("REQUIRETLS raises the operator's level, and TLS-Required: No leaves it", () => {
  assert.deepEqual(termsOf(via(server)).tls, { level: "may", requireTls: false, ignoresPublished: false });
  const { level, requireTls } = termsOf(via(server), { requireTls: true }).tls;
  assert.ok(requireTls && level !== "may");
  assert.deepEqual(termsOf(via(server), { tlsOptional: true }).tls, {
    level: "may",
    requireTls: false,
    ignoresPublished: true,
  });
});

test("only a relay gets a password", () => {
  const auth = { user: "gateway", password: "secret" };
  assert.deepEqual(termsOf(relay(server, { auth })).auth, auth);
  assert.equal(termsOf(via(server)).auth, undefined);
});
