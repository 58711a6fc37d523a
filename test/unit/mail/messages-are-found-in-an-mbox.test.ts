import assert from "node:assert/strict";
import { test } from "node:test";
import { readMessages } from "../../../shared/mail/import-source.ts";

test("the sender of a message in an mbox is the address in its From line, where there is one", () => {
  const senders = ["a@example.com", "MAILER-DAEMON", "@", "a@"].map(
    (sender) => readMessages(Buffer.from(`From ${sender} Mon Nov 30 12:00:00 2026\n\nx\n`))[0]?.from,
  );
  assert.deepEqual(senders, ["a@example.com", undefined, undefined, undefined]);
});

// With quadratic time it would take hours.
test("a From line of a megabyte is read in no time", () => {
  const [message] = readMessages(Buffer.from(`From ${"a@".repeat(2 ** 20)}\n\nx\n`));
  assert.equal(message?.from, undefined);
});
