import assert from "node:assert/strict";
import { test } from "node:test";
import type { Envelope, Recipient } from "../../../../shared/mail/envelope.ts";
import { noExtensions } from "../../../../shared/smtp/extensions.ts";
import { recipientGroups } from "../../../../shared/smtp-client/transaction/recipient-groups.ts";

const everything = { ...noExtensions, dsn: true, smtpUtf8: true };

function envelope(...recipients: Recipient[]): Envelope {
  return { reversePath: "alice@example.com", smtputf8: true, recipients };
}

const mixed = envelope(
  { address: "a@x.test", notify: ["FAILURE"] },
  { address: "b@x.test" },
  { address: "c@x.test", notify: ["FAILURE"] },
  { address: "jörg@x.test" },
);

test("recipients with different NOTIFY share a transaction, also with a server that offers DSN (RFC 3461 §10.1)", () => {
  assert.deepEqual(recipientGroups(mixed, [0, 1, 2, 3], everything), [[0, 1, 2, 3]]);
  assert.deepEqual(recipientGroups(mixed, [0, 2], { ...everything, dsn: false }), [[0, 2]]);
});

test("a server without SMTPUTF8 gets recipients with ASCII addresses apart from the others, and first", () => {
  const offered = { ...everything, dsn: false, smtpUtf8: false };
  assert.deepEqual(recipientGroups(mixed, [3, 0, 1], offered), [[0, 1], [3]]);
  assert.deepEqual(recipientGroups(mixed, [3], offered), [[3]]);
  assert.deepEqual(recipientGroups(mixed, [0, 1], offered), [[0, 1]]);
});

test("with an international sender all recipients share a transaction, since all need SMTPUTF8", () => {
  const sender = { ...mixed, reversePath: "jörg@example.com" };
  assert.deepEqual(recipientGroups(sender, [0, 1], noExtensions), [[0, 1]]);
});
