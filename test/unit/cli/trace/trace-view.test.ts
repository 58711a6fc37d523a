import assert from "node:assert/strict";
import { test } from "node:test";
import { wrap } from "../../../../services/cli/command-line/wrap.ts";
import { renderTrace, type Trace, type TraceEvent } from "../../../../services/cli/trace/trace-view.ts";
import { describeEvent } from "../../../../shared/events/describe.ts";
import type { EventFields } from "../../../../shared/runtime/log.ts";

/** An event as the admin's API gives it. */
function view(at: string, fields: EventFields): TraceEvent {
  const atMs = Date.parse(`2026-11-30T${at}Z`);
  return {
    at: new Date(atMs).toISOString(),
    ...fields,
    ...describeEvent({ version: 1, at: atMs, ...fields }),
  };
}

const mail = "1M8PRW4XVATC4RJA6R";
const dsn = "1M8PRW5T4A4YY0QJK1";
const session = "vLr1-1";
const attempt = {
  id: mail,
  row: "relay",
  nextHop: "mx:example.com",
  ms: 12,
  tls: { policy: "may" },
} as const;
const events: TraceEvent[] = [
  view("17:43:35", {
    event: "session.classified",
    session,
    listener: "submission",
    client: "192.0.2.7",
    destination: "192.0.2.1:25",
    direction: "local",
    handler: "queue",
  }),
  view("17:43:35", {
    event: "message.accepted",
    session,
    id: mail,
    client: "192.0.2.7",
    helo: "pc.example.net",
    from: "alice@example.net",
    to: ["bob@example.com", "gone@example.com", "full@example.com"],
    recipients: 3,
    size: 98,
    messageId: "<4711@example.net>",
    rows: ["relay"],
  }),
  view("17:43:35", { ...attempt, event: "delivery.attempt", attempt: 1, recipients: 3 }),
  view("17:43:36", {
    ...attempt,
    event: "delivery.delivered",
    to: "bob@example.com",
    remote: "mx.example.com[192.0.2.25]:25",
    tls: { policy: "dane", protocol: "TLSv1.3" },
    reply: "250 2.0.0 queued",
  }),
  view("17:43:36", {
    ...attempt,
    event: "delivery.rejected",
    to: "gone@example.com",
    remote: "mx.example.com[192.0.2.25]:25",
    command: "RCPT",
    reply: "550 5.1.1 unknown",
  }),
  view("17:43:36", {
    ...attempt,
    event: "delivery.deferred",
    to: "full@example.com",
    status: "4.4.1",
    reason: "no host of example.com answers",
    nextAttemptAt: "2026-11-30T17:48:36.000Z",
  }),
  view("17:43:37", {
    event: "dsn.made",
    id: mail,
    dsnId: dsn,
    kind: "failed",
    from: "",
    to: "alice@example.net",
    recipients: ["gone@example.com"],
  }),
  view("17:43:38", { event: "message.dead", id: dsn, reason: "550 5.1.1 no such sender" }),
  view("17:44:00", { event: "message.retried", by: "oncall", ids: [mail] }),
];
const trace: Trace = {
  messages: [mail],
  more: 0,
  events,
  queued: [
    {
      id: `${mail}-0`,
      status: "deferred",
      nextAttemptAt: "2026-11-30T17:48:36.000Z",
      // The job keeps the recipients that are done.
      to: ["bob@example.com", "gone@example.com", "full@example.com"],
    },
  ],
};
const nowMs = Date.parse("2026-11-30T17:44:36Z");

test("a timeline fits 80 columns and says what is done, what is left, and what became of the notification", () => {
  const lines = renderTrace(trace, nowMs, 80, {});
  for (const line of lines) assert.ok(line.length <= 80, line);
  assert.deepEqual(lines, [
    mail,
    "  Message-ID: <4711@example.net>",
    "  From:       alice@example.net",
    "  To:         bob@example.com, gone@example.com, full@example.com",
    "  State:      1 delivered, 1 rejected, 1 deferred (next attempt in 4m)",
    "  2026-11-30 UTC",
    "  17:43:35  classified  192.0.2.7 to 192.0.2.1:25, listener submission, local,",
    "                        handled by queue",
    "  17:43:35  accepted    from 192.0.2.7 (pc.example.net), 98 octets, row relay",
    "  17:43:35  attempt 1   mx:example.com, row relay, 3 recipients",
    "  17:43:36  delivered   bob@example.com by mx.example.com[192.0.2.25]:25: 250",
    "                        2.0.0 queued (TLSv1.3, policy dane, 12 ms)",
    "  17:43:36  rejected    gone@example.com by mx.example.com[192.0.2.25]:25 to",
    "                        RCPT: 550 5.1.1 unknown (no TLS, policy may, 12 ms)",
    "  17:43:36  deferred    full@example.com not delivered: 4.4.1 no host of",
    "                        example.com answers (no TLS, policy may, 12 ms), next",
    "                        attempt 17:48:36",
    `  17:43:37  DSN made    ${dsn} (failed) to alice@example.net, about`,
    "                        gone@example.com",
    `  17:43:38  dead        DSN ${dsn}: kept for operators: 550 5.1.1 no`,
    "                        such sender",
    "  17:44:00  retried     by oncall",
  ]);
});

test("each message of an address has a section; a proxied transaction has one by its session", () => {
  const other = "1M8PRW5PA91RZMATNX";
  const proxied = view("17:45:00", {
    event: "proxy.transaction",
    id: "prox-1",
    session: "prox-1",
    client: "192.0.2.7",
    server: "198.51.100.1:25",
    reversePath: "",
    octets: 5,
    result: "lost",
  });
  const lines = renderTrace(
    {
      ...trace,
      messages: [mail, other],
      more: 3,
      events: [...events, view("17:45:00", { event: "message.settled", id: other }), proxied],
    },
    nowMs,
    80,
    {},
  );
  assert.equal(lines[0], "3 earlier messages left out: see --limit");
  assert.ok(lines.includes(other));
  assert.deepEqual(lines.slice(-4), [
    "prox-1",
    "  2026-11-30 UTC",
    "  17:45:00  proxied     192.0.2.7 to 198.51.100.1:25: lost, from <>, 5 octets,",
    "                        no reply",
  ]);
});

test("octets of a server's reply cannot control the terminal", () => {
  const hostile = view("17:43:36", {
    ...attempt,
    event: "delivery.rejected",
    to: "x@y",
    reply: "550 \u001b[2Jgone",
  });
  const text = renderTrace({ ...trace, events: [hostile], queued: [] }, nowMs, 80, {}).join("\n");
  assert.ok(!text.includes("\u001b"), text);
});

test("lines are broken at spaces, and in a word that is longer than a line", () => {
  assert.deepEqual(wrap("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrap("a abcdefghij b", 5), ["a", "abcde", "fghij", "b"]);
  assert.deepEqual(wrap("", 5), [""]);
});

test("an event of a later version has at least its name", () => {
  const event = { version: 1 as const, at: 1, event: "message.moved" as "message.held" };
  assert.deepEqual(describeEvent(event), { label: "event", text: "message.moved" });
});
