import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deferRefusal,
  diagnoseReply,
  outcomeOfRefusal,
  rejected,
  replyLine,
  statusOf,
} from "../../../shared/smtp/diagnose.ts";
import type { SmtpCommandName, SmtpReply } from "../../../shared/smtp/status.ts";

const remote = { host: "mx.example.org", address: "192.0.2.25", port: 25 };

function reply(code: number, command: SmtpCommandName, more: Partial<SmtpReply> = {}): SmtpReply {
  return { code, lines: ["text"], command, ...more };
}

for (const [code, command, status] of [
  [421, "MAIL", "4.3.2"],
  [450, "RCPT", "4.2.0"],
  [451, "DOT", "4.3.0"],
  [452, "MAIL", "4.3.1"],
  [452, "RCPT", "4.5.3"],
  [454, "STARTTLS", "4.7.0"],
  [499, "RCPT", "4.0.0"],
  [535, "AUTH", "5.7.8"],
  [550, "RCPT", "5.0.0"],
  [552, "RCPT", "5.2.2"],
  [552, "DOT", "5.3.4"],
  [553, "MAIL", "5.1.3"],
  [554, "DOT", "5.0.0"],
  [556, "RCPT", "5.1.10"],
  [250, "RCPT", "2.0.0"],
] as const) {
  test(`${code} to ${command} without an enhanced status means ${status} (RFC 3463)`, () => {
    assert.equal(statusOf(reply(code, command)), status);
  });
}

test("the server's own enhanced status is kept", () => {
  assert.equal(statusOf(reply(550, "RCPT", { enhanced: "5.7.26" })), "5.7.26");
});

test("the code decides between deferred and rejected (RFC 5321 §4.2.1)", () => {
  assert.equal(outcomeOfRefusal(reply(450, "RCPT"), remote, 1).kind, "deferred");
  assert.equal(outcomeOfRefusal(reply(550, "RCPT"), remote, 1).kind, "rejected");
});

test("a refusal of the session is deferred whatever its code, with the status of a temporary failure", () => {
  const outcome = deferRefusal(reply(554, "CONNECT", { enhanced: "5.7.1" }), remote, 1);
  assert.equal(outcome.kind, "deferred");
  assert.equal(outcome.diagnosis.status, "4.7.1");
  assert.equal(outcome.diagnosis.class, "5xx");
});

test("a diagnosis is complete: who said what, to which command, in one line", () => {
  const refusal = reply(550, "RCPT", { enhanced: "5.1.1", lines: ["no such", "user"] });
  assert.deepEqual(diagnoseReply(refusal, remote, 7), {
    status: "5.1.1",
    class: "5xx",
    reason: "mx.example.org [192.0.2.25] said: 550 5.1.1 no such user (in reply to RCPT TO)",
    reply: refusal,
    remote,
    atMs: 7,
  });
});

test("a reason is one line of bounded length", () => {
  const { reason } = rejected("5xx", "5.0.0", `a\r\nb${"x".repeat(2000)}`, 1).diagnosis;
  assert.ok(!/[\r\n]/.test(reason));
  assert.ok(reason.length <= 500);
});

test("a reply without text still makes a line", () => {
  assert.equal(replyLine(reply(250, "DOT", { lines: [""] })), "250");
});
