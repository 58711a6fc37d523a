import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeEvent, encodeEvent, fateOf, wordsOf } from "../../../shared/events/event.ts";
import type { EventFields } from "../../../shared/runtime/log.ts";

test("an event is stored with its time, and without fields that have no value", () => {
  const text = encodeEvent({ event: "message.accepted", id: "A", messageId: undefined }, 17);
  assert.equal(text, '{"version":1,"at":17,"event":"message.accepted","id":"A"}');
  assert.deepEqual(decodeEvent(text), { version: 1, at: 17, event: "message.accepted", id: "A" });
});

test("what is no event, or one of a later version, is not read", () => {
  for (const text of [
    "",
    "null",
    "[]",
    "{",
    '"x"',
    '{"version":1,"at":1}',
    '{"version":2,"at":1,"event":"x"}',
    // No date: it would fail every page that shows it.
    '{"version":1,"at":1e300,"event":"x"}',
  ])
    assert.equal(decodeEvent(text), undefined, text);
});

test("a long reply is cut, an error is its message, and an event has at most 64 KB", () => {
  const event = "delivery.deferred";
  const cut = decodeEvent(encodeEvent({ event, reply: "x".repeat(5000), err: new Error("away") }, 1));
  assert.equal(String(cut?.reply).length, 1001);
  assert.equal(cut?.err, "away");

  const to = Array.from({ length: 2000 }, (_, index) => `${"r".repeat(100)}${index}@example.com`);
  const text = encodeEvent({ event: "message.accepted", to }, 1);
  assert.ok(text.length < 64 * 1024);
  assert.equal(decodeEvent(text)?.isCut, true);
});

const found: [what: string, fields: Record<string, unknown>, words: string[]][] = [
  [
    "accepted mail by id, sender, recipients and Message-ID",
    {
      event: "message.accepted",
      id: "A",
      session: "s",
      from: "Alice@Example.net",
      to: ["bob@example.com"],
      messageId: "<M@x>",
    },
    ["A", "bob@example.com", "<M@x>", "alice@example.net"],
  ],
  [
    "an attempt by id and recipient",
    { event: "delivery.deferred", id: "A", from: "alice@example.net", to: "bob@example.com" },
    ["A", "bob@example.com"],
  ],
  [
    "a notification by its own id and by that of the original",
    { event: "dsn.made", id: "A", dsnId: "D", from: "", to: "alice@example.net" },
    ["A", "alice@example.net", "D"],
  ],
  [
    "a refused recipient by session and addresses",
    { event: "message.refused", session: "s", from: "a@x", to: ["b@y"] },
    ["s", "b@y", "a@x"],
  ],
  [
    "a proxied transaction by its addresses, refused ones too",
    {
      event: "proxy.transaction",
      session: "s",
      reversePath: "a@x",
      accepted: { count: 1, addresses: ["b@y"] },
      refused: { count: 1, recipients: [{ address: "C@y", reply: "550" }] },
    },
    ["s", "a@x", "b@y", "c@y"],
  ],
  ["an operator's change by each message", { event: "message.held", ids: ["A", "B"] }, ["A", "B"]],
  ["a bulk change by nothing", { event: "admin.change", ids: ["*"] }, []],
];
for (const [what, fields, words] of found) {
  test(`${what}`, () => assert.deepEqual(wordsOf(fields), words));
}

test("a message with very many recipients has a bounded number of words", () => {
  const to = Array.from({ length: 10_000 }, (_, index) => `r${index}@example.com`);
  assert.equal(wordsOf({ event: "message.accepted", id: "A", to }).length, 2000);
});

const fates: [EventFields, ReturnType<typeof fateOf>][] = [
  [{ event: "message.accepted" }, "kept"],
  [{ event: "proxy.transaction" }, "kept"],
  [{ event: "session.classified" }, "with-session"],
  [{ event: "session.open" }, "log-only"],
  [{ event: "session.close" }, "log-only"],
  [{ event: "session.close", notInspected: "starttls" }, "kept"],
  [{ event: "auth.failed" }, "log-only"],
];
for (const [fields, fate] of fates) {
  test(`${fields.event}${fields.notInspected ? " under TLS" : ""}: ${fate}`, () =>
    assert.equal(fateOf(fields), fate));
}
