import assert from "node:assert/strict";
import { test } from "node:test";
import type { NotifyEvent } from "../../../shared/mail/envelope.ts";
import type { Origin } from "../../../shared/mail/message.ts";
import { compileReportPolicy } from "../../../shared/routing/report-policy.ts";
import { testConfig } from "../../support/config.ts";

type To = "all" | "local" | "none";

function originOf(address: string, user?: string): Origin {
  return {
    connection: {
      id: "1",
      listener: "submission",
      client: { address, port: 40_000 },
      destination: { address: "192.0.2.1", port: 25 },
      direction: "local",
    },
    helo: "client.example",
    protocol: user === undefined ? "ESMTP" : "ESMTPSA",
    ...(user === undefined ? {} : { user }),
  };
}

const stranger = originOf("203.0.113.9");
const client = originOf("198.51.100.7");
const user = originOf("203.0.113.9", "ann");
/** A message of the gateway itself. */
const own = null;

function gets(
  event: NotifyEvent,
  origin: Origin | null,
  dsn: { to?: To; delays_to?: To } = {},
  reversePath = "ann@example.org",
): boolean {
  const policy = compileReportPolicy(testConfig({ dsn, relay: { clients: ["198.51.100.0/24"] } }));
  const envelope = { reversePath, recipients: [{ address: "bob@example.com" }] };
  return policy.whyWithheld({ envelope, origin }, event) === undefined;
}

test("without a setting everybody hears of failures and successes, and only who may relay of delays", () => {
  for (const event of ["FAILURE", "SUCCESS"] as const)
    for (const origin of [stranger, client, user, own]) assert.equal(gets(event, origin), true);
  for (const origin of [client, user, own]) assert.equal(gets("DELAY", origin), true);
  assert.equal(gets("DELAY", stranger), false);
});

test("with dsn.to: local only who may relay gets any notification", () => {
  for (const event of ["FAILURE", "SUCCESS", "DELAY"] as const) {
    assert.equal(gets(event, stranger, { to: "local", delays_to: "all" }), false);
    for (const origin of [client, user, own])
      assert.equal(gets(event, origin, { to: "local", delays_to: "all" }), true);
  }
});

test("with dsn.to: none nobody gets any notification", () => {
  for (const event of ["FAILURE", "SUCCESS", "DELAY"] as const)
    for (const origin of [stranger, client, user, own])
      assert.equal(gets(event, origin, { to: "none", delays_to: "all" }), false);
});

test("dsn.delays_to is for delays alone", () => {
  assert.equal(gets("DELAY", stranger, { delays_to: "all" }), true);
  assert.equal(gets("DELAY", client, { delays_to: "none" }), false);
  assert.equal(gets("FAILURE", client, { delays_to: "none" }), true);
});

test("no notification goes to the null sender or to an address without a domain (RFC 5321 §4.5.5)", () => {
  for (const reversePath of ["", "ann"])
    for (const event of ["FAILURE", "DELAY"] as const)
      assert.equal(gets(event, client, {}, reversePath), false);
});

test("the operator reads which setting withheld a notification", () => {
  const policy = compileReportPolicy(testConfig({ dsn: { to: "local" }, relay: { clients: [] } }));
  const envelope = { reversePath: "ann@example.org", recipients: [] };
  assert.equal(
    policy.whyWithheld({ envelope, origin: stranger }, "FAILURE"),
    "its sender may not relay and is not notified: dsn.to is local",
  );
});
