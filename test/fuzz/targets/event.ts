import assert from "node:assert/strict";
import fc from "fast-check";
import { eventMatcher, viewOf } from "../../../services/admin/routes/event-schemas.ts";
import { describeEvent } from "../../../shared/events/describe.ts";
import { decodeEvent, encodeEvent, type StreamEvent, wordsOf } from "../../../shared/events/event.ts";
import { decodeNumber, encodeNumber, fingerprint } from "../../../shared/events/fingerprint.ts";
import { concerns, messagesOf, notificationsOf, timelineOf } from "../../../shared/events/timeline.ts";
import type { Target } from "../engine/target.ts";

const target: Target = {
  about: "the events in Redis, whoever wrote them, as pages, traces and searches show them",
  maxOctets: 65_536,
  check(input) {
    const text = input.toString("utf8");
    const event = decodeEvent(text);
    const { shard, text: print } = fingerprint(text, 16);
    assert.ok(shard >= 0 && shard < 16 && print.length === 8);
    if (event === undefined) return;
    const found = { ...event, eventId: "1-1" } as StreamEvent;
    const { label, text: said } = describeEvent(event);
    assert.equal(typeof label, "string");
    assert.equal(typeof said, "string");
    const words = wordsOf(event as Record<string, unknown>);
    assert.ok(words.length <= 2000 && words.every((word) => typeof word === "string" && word !== ""));
    concerns(found, "a@example.com");
    messagesOf([found], { kind: "address", word: "x" });
    notificationsOf([found], new Set(["x"]));
    timelineOf([found, found], [], 0);
    viewOf(found);
    eventMatcher({ event: "delivery,dsn", search: "x" })(found);
  },
  seeds: [
    {
      event: "message.accepted",
      id: "1M8PQXWVF29TJ4D16K",
      from: "a@x",
      to: ["b@y"],
      messageId: "<m@x>",
      size: 1,
    },
    {
      event: "delivery.deferred",
      id: "1M8PQXWVF29TJ4D16K",
      to: ["b@y"],
      reason: "451 x",
      remote: { host: "mx", address: "192.0.2.1", port: 25 },
      nextAttemptAtMs: 5,
    },
    {
      event: "delivery.delivered",
      id: "1",
      to: ["b@y"],
      reply: { code: 250, lines: ["ok"], command: "DOT" },
      tls: { version: "TLSv1.3" },
      ms: 5,
    },
    {
      event: "proxy.transaction",
      session: "s",
      reversePath: "a@x",
      accepted: { count: 1, addresses: ["b@y"] },
      refused: { count: 1, recipients: [{ address: "c", reply: "550" }] },
      octets: 1,
      result: "accepted",
    },
    { event: "dsn.made", id: "1", dsnId: "2", kind: "failed" },
    { event: "session.classified", client: "192.0.2.1:1", destination: "x", listener: "l", row: "relay" },
    { event: "session.close", notInspected: "starttls" },
    { event: "admin.change", by: "x", ids: ["1"], reason: "y" },
    { event: "message.held", ids: ["1"] },
  ].map((fields) => JSON.stringify({ version: 1, at: 1_700_000_000_000, ...fields })),
  words: [
    '"to":',
    "null",
    "[]",
    "{}",
    "1e300",
    '"at":',
    '"version":1,',
    '"event":',
    '"message.accepted"',
    '"delivery.attempt"',
    '"refused":',
    '"recipients":[null]',
    '"accepted":',
    '"ids":',
    '"reply":',
    '"remote":',
    '"tls":',
    '"__proto__"',
    '"constructor"',
    '"toString"',
  ],
  long: [
    ['{"version":1,"at":1,"event":"x","to":[', '"a",', '"b"]}'],
    ["", "[", ""],
    ['{"version":1,"at":1,"event":"message.accepted","to":', "[", ""],
  ],
  properties: {
    "an event is read as it was stored": fc.property(
      fc.string({ maxLength: 500 }),
      fc.array(fc.string({ maxLength: 20 })),
      (from, to) => {
        const fields = { event: "message.accepted", id: "1", from, to } as Parameters<typeof encodeEvent>[0];
        const stored = encodeEvent(fields, 7);
        assert.ok(stored.length <= 70_000);
        if (stored.length <= 1000) assert.deepEqual(decodeEvent(stored), { version: 1, at: 7, ...fields });
        else assert.ok(decodeEvent(stored) !== undefined);
      },
    ),
    "numbers of the index come back": fc.property(fc.nat(2 ** 24 - 1), (value) => {
      assert.equal(decodeNumber(encodeNumber(value, 4)), value);
    }),
  },
};
export default target;
