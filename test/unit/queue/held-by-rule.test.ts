import assert from "node:assert/strict";
import { test } from "node:test";
import type { HoldRule } from "../../../shared/queue/holds/rules.ts";
import { countHeld } from "../../../shared/queue/operator/held-by-rule.ts";
import { MailIndex } from "../../../shared/queue/operator/mail-index.ts";

function indexOf(
  ...jobs: { id: string; from: string; to: string[]; status?: "held" | "waiting" }[]
): MailIndex {
  const index = new MailIndex(10);
  for (const [order, { id, from, to, status = "held" }] of jobs.entries()) {
    const locator = { segment: "s", offset: 0, length: 0, checksum: 0 };
    const route = { route: "relay via isp (smtp.isp.example:587)", aliases: ["isp"] };
    const job = { version: 1 as const, id, part: 0, locator, from, to, ...route, size: 1, receivedAtMs: 0 };
    index.put({ jobId: `${id}-0`, queue: "delivery", status, order }, { job });
  }
  return index;
}

const rule = (kind: HoldRule["kind"], value: string): HoldRule => ({
  kind,
  value,
  reason: "",
  createdAtMs: 0,
});

test("a rule counts the held messages that it covers, whatever other rules do", () => {
  const index = indexOf(
    { id: "A", from: "ann@example.net", to: ["b@one.example", "c@mail.two.example"] },
    { id: "B", from: "ann@example.net", to: ["b@one.example"] },
    { id: "C", from: "", to: ["d@two.example"] },
    { id: "D", from: "ann@example.net", to: ["b@one.example"], status: "waiting" },
  );
  const rules = [
    rule("all", ""),
    rule("sender", "*@example.net"),
    rule("sender", "<>"),
    rule("destination", "One.example"),
    rule("destination", "*.two.example"),
    rule("destination", "isp"),
    rule("message", "A"),
    rule("message", "B-0"),
    rule("message", "D"),
  ];
  assert.deepEqual(countHeld(index.values(), rules), [3, 2, 1, 2, 1, 3, 1, 1, 0]);
});
