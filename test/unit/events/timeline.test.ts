import assert from "node:assert/strict";
import { test } from "node:test";
import type { StreamEvent } from "../../../shared/events/event.ts";
import { parseWanted } from "../../../shared/events/stream/find-trace.ts";
import { messagesOf, timelineOf } from "../../../shared/events/timeline.ts";

const event = (eventId: string, at: number, rest: Partial<StreamEvent> = {}): StreamEvent => ({
  eventId,
  version: 1,
  at,
  event: "message.accepted",
  ...rest,
});

test("a timeline is in the order of time; events of one millisecond in that of the stream", () => {
  const late = event("9-0", 30);
  const second = event("10-10", 20, { id: "second" });
  const first = event("10-9", 20, { id: "first" });
  assert.deepEqual(timelineOf([late, second, first], [], 0).events, [first, second, late]);
});

test("an event that was appended twice, since Redis' reply was lost, is shown once", () => {
  assert.equal(timelineOf([event("1-0", 5), event("2-0", 5)], [], 0).events.length, 1);
});

test("a notification to an address stands in the timeline of the message that it is about", () => {
  const events = [
    event("1-0", 1, { id: "A" }),
    event("2-0", 2, { id: "A", event: "dsn.made", dsnId: "D" }),
    event("3-0", 3, { id: "D", event: "delivery.delivered" }),
  ];
  assert.deepEqual(messagesOf(events, { kind: "address", word: "a@x" }), ["A"]);
});

test("an address stands for all messages that its events name; a queue id for itself", () => {
  const events = [event("1-0", 1, { id: "A" }), event("2-0", 2, { id: "B" }), event("3-0", 3, { id: "A" })];
  assert.deepEqual(messagesOf(events, { kind: "address", word: "a@x" }), ["A", "B"]);
  assert.deepEqual(messagesOf(events, { kind: "message", word: "D" }), ["D"]);
});

const questions: [string, ReturnType<typeof parseWanted>][] = [
  ["01KB9Q3XR00000000A", { kind: "message", word: "01KB9Q3XR00000000A" }],
  ["01kb9q3xr00000000a", { kind: "message", word: "01KB9Q3XR00000000A" }],
  ["01KB9Q3XR00000000A-2", { kind: "message", word: "01KB9Q3XR00000000A" }],
  ["<M@x.example>", { kind: "message-id", word: "<M@x.example>" }],
  ["Bob@Example.COM", { kind: "address", word: "bob@example.com" }],
  ["4fX2-1a", { kind: "session", word: "4fX2-1a" }],
];
for (const [text, wanted] of questions) {
  test(`${text} means: ${wanted.kind}`, () => assert.deepEqual(parseWanted(text), wanted));
}
