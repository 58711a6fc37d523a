import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeHtml } from "../../../services/admin/page/html.ts";
import { type PageView, renderPage } from "../../../services/admin/page/page.ts";

const nowMs = Date.UTC(2026, 10, 24, 12);
const hostile = `"><script>alert(1)</script>&'`;

const view: PageView = {
  hostname: "gw.example.net",
  version: "1.2.3",
  reasons: [],
  spool: { bytesUsed: 3 * 1024 ** 2, bytesFree: 20 * 1024 ** 3 },
  nowMs,
  queues: {
    counts: [
      { name: "delivery", waiting: 1234, active: 1, deferred: 5, held: 2, dead: 0, oldestSeconds: 5400 },
    ],
    services: [
      {
        name: "delivery",
        host: hostile,
        pid: 7,
        startedAt: new Date(nowMs - 3_600_000).toISOString(),
        url: null,
        ready: false,
        reasons: [hostile],
      },
    ],
    oldestMs: 90 * 60_000,
    deferred: [
      {
        id: "ID-0",
        messageId: null,
        from: "",
        to: [hostile, "b@example.com", "c@example.com", "d@example.com", "e@example.com"],
        route: "relay",
        queue: "delivery",
        status: "deferred",
        attempts: 3,
        nextAttemptAt: new Date(nowMs + 300_000).toISOString(),
        receivedAt: new Date(nowMs).toISOString(),
        size: 1,
        reason: hostile,
      },
    ],
  },
};

test("the page shows deferred mail and why, and nothing of a message becomes HTML", () => {
  const page = renderPage(view);
  assert.ok(!page.includes("<script"));
  assert.equal(page.split(escapeHtml(hostile)).length - 1, 4);
  for (const text of [
    "1,235",
    "in 5m",
    "1h 30m",
    "3.0 MB",
    "20 GB free",
    "and 2 more",
    "&lt;&gt;",
    "● ready",
  ]) {
    assert.ok(page.includes(text), text);
  }
  assert.match(page, /<html lang="en">/);
});

test("without Redis the page names the reason and shows what it can", () => {
  const { queues: _, ...rest } = view;
  const page = renderPage({ ...rest, reasons: ["Redis is out of reach: no answer"] });
  assert.ok(page.includes("▲ not ready"));
  assert.ok(page.includes("Redis is out of reach: no answer"));
  assert.ok(!page.includes("<table"));
});

test("an empty queue is a sentence, not an empty table", () => {
  assert.ok(view.queues);
  const page = renderPage({ ...view, queues: { ...view.queues, deferred: [], services: [] } });
  assert.ok(page.includes("No message is deferred."));
  assert.ok(page.includes("No service has announced itself."));
});
