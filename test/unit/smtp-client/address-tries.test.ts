import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../../../shared/smtp/diagnose.ts";
import { noExtensions } from "../../../shared/smtp/extensions.ts";
import { AddressTries } from "../../../shared/smtp-client/address-tries.ts";
import type { SmtpConnection } from "../../../shared/smtp-client/session/connection.ts";
import type {
  Opened,
  OpeningFailure,
  Session,
  SessionRequest,
} from "../../../shared/smtp-client/session/session.ts";
import { clearText } from "../../../shared/smtp-client/tls/policy.ts";

const remote = { host: "mx.example.org", address: "192.0.2.25", port: 25 };
const request: SessionRequest = {
  remote,
  localAddress: undefined,
  transparentSource: undefined,
  isNameSure: true,
  helo: "gw.example.net",
  policy: clearText,
  auth: undefined,
  withinMs: undefined,
};
const session: Session = {
  connection: {} as SmtpConnection,
  remote,
  extensions: noExtensions,
  policy: "may",
  transactions: 0,
  isAwaitingDot: false,
  openedAtMs: 1000,
};
const opened: Opened = { kind: "session", session };

function failure(server: OpeningFailure["server"] = "answered"): Opened {
  const outcome = deferred("connect", "4.4.1", "it failed", 1, remote);
  return { kind: "failed", outcome, tlsFailed: false, server };
}

const delivered = {
  kind: "delivered" as const,
  reply: { code: 250, enhanced: "2.0.0" as const, lines: ["queued"], command: "DOT" as const },
  remote,
  dsnPassedOn: false,
};

test("a server that greets, or refuses, is alive", () => {
  for (const result of [opened, failure()]) {
    const tries = new AddressTries();
    tries.addOpening(request, result, 5);
    assert.ok(tries.isAnswered);
    assert.equal(tries.noAnswer, undefined);
  }
});

test("a server that does not even greet may be dead, and how it failed is remembered", () => {
  const tries = new AddressTries();
  tries.addOpening(request, failure("unanswered"), 5);
  assert.ok(!tries.isAnswered);
  assert.equal(tries.noAnswer?.reason, "it failed");
});

test("an opening that failed by our own fault says nothing about the server", () => {
  const tries = new AddressTries();
  tries.addOpening(request, failure("unknown"), 5);
  assert.ok(!tries.isAnswered);
  assert.equal(tries.noAnswer, undefined);
});

test("opening and use of a new session make one entry, which counts from the opening", () => {
  const tries = new AddressTries();
  tries.addOpening(request, opened, 5);
  tries.addUse(session, false, delivered, { startedMs: 1500, nowMs: 1700 });
  assert.deepEqual(tries.entries, [
    { ...remote, reused: false, policy: "may", result: "250 2.0.0 queued", durationMs: 700 },
  ]);
});

test("a session that was open already makes an entry of its own, which counts from its use", () => {
  const tries = new AddressTries();
  tries.addUse(session, true, delivered, { startedMs: 1500, nowMs: 1700 });
  tries.addOpening(request, failure(), 5);
  assert.deepEqual(
    tries.entries.map(({ reused, result, durationMs }) => ({ reused, result, durationMs })),
    [
      { reused: true, result: "250 2.0.0 queued", durationMs: 200 },
      { reused: false, result: "it failed", durationMs: 5 },
    ],
  );
});
