import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { createSuccessReports } from "../../../shared/queue/success-reports.ts";
import { storedMessage } from "./stored-message.ts";

const message = storedMessage({});

function queueThat(addBounce: (job: unknown, delayMs: number) => Promise<void>) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { reports: createSuccessReports({ producer: { addBounce }, log }), lines };
}

test("a success report of inline delivery is enqueued at once, without waiting for others", async () => {
  const added: unknown[] = [];
  const { reports } = queueThat(async (job, delayMs) => void added.push([job, delayMs]));
  reports.publish(message);
  await reports.close();
  const { id } = message.meta;
  assert.deepEqual(added, [[{ version: 2, kind: "succeeded", id, locator: message.locator }, 0]]);
});

test("a queue that is out of reach is no fault of the session: the spool remembers the report", async () => {
  const { reports, lines } = queueThat(() => Promise.reject(new Error("Redis is away")));
  reports.publish(message);
  await reports.close();
  assert.equal(lines[0]?.level, 40);
});
