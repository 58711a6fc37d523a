import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createLogger,
  type EventFields,
  logEvent,
  withEventSink,
  writeEvent,
} from "../../../shared/runtime/log.ts";

function loggerWithLines() {
  const lines: string[] = [];
  return { lines, log: createLogger("ingress", { write: (line) => lines.push(line) }) };
}

/** Without the time, which may differ by a millisecond. */
const timeless = (line = "") => line.replace(/"time":"[^"]+"/, '"time":""');

test("the line of a fact is the one that pino writes, octet by octet", () => {
  const facts: EventFields[] = [
    { event: "session.open", session: "S", client: "192.0.2.1" },
    { event: "message.accepted", id: "A", to: ["bob@example.com"], user: undefined, ms: 12, unheard: true },
    {
      event: "message.refused",
      reply: '550 5.1.1 "quoted" \\ \t \u0001 \u2028 über \ud800',
      ms: Number.NaN,
      more: Number.POSITIVE_INFINITY,
    },
    { event: "proxy.transaction", refused: { count: 1, recipients: [{ address: "a@b", reply: null }] } },
    { event: "spool.trouble", err: new Error("no space") },
    { event: "delivery.attempt", at: new Date(0), nothing: null, skipped: () => 1 },
  ];
  for (const fields of facts) {
    const { lines, log } = loggerWithLines();
    log.warn(fields);
    writeEvent(log, "warn", fields);
    assert.equal(lines.length, 2);
    assert.equal(timeless(lines[1]), timeless(lines[0]));
  }
});

test("what has no JSON is logged all the same", () => {
  const { lines, log } = loggerWithLines();
  const fields: EventFields = { event: "session.open" };
  fields.self = fields;
  logEvent(log, fields);
  assert.equal(JSON.parse(lines[0] ?? "").event, "session.open");
});

test("facts keep to the level of the log, and lines of a child have its fields", () => {
  const { lines, log } = loggerWithLines();
  log.level = "warn";
  logEvent(log, { event: "session.open" });
  assert.deepEqual(lines, []);
  writeEvent(log, "warn", { event: "pressure.begin" });
  writeEvent(log.child({ host: "a" }), "warn", { event: "pressure.end" });
  assert.deepEqual(
    lines.map((line) => {
      const { event, host } = JSON.parse(line);
      return [event, host];
    }),
    [
      ["pressure.begin", undefined],
      ["pressure.end", "a"],
    ],
  );
});

test("a sink gets each fact, with the JSON that the line was made of", () => {
  const { lines, log } = loggerWithLines();
  const added: [string, string | undefined][] = [];
  const own = withEventSink(log, { add: ({ event }, _whole, json) => added.push([event, json]) });
  logEvent(own, { event: "session.open", session: "S" });
  logEvent(own, { event: "spool.trouble", err: new Error("full") });
  assert.equal(lines.length, 2);
  assert.deepEqual(added, [
    ["session.open", '{"event":"session.open","session":"S"}'],
    ["spool.trouble", undefined],
  ]);
});
