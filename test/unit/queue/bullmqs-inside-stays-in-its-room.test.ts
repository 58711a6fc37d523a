import assert from "node:assert/strict";
import { test } from "node:test";
import { readSources } from "../../../scripts/walls.ts";

const room = "shared/queue/bullmq/";
/** What the room offers to others; its other files are its own. */
const offered = [
  "all-places.ts",
  "board.ts",
  "bullmq-worker.ts",
  "epoch.ts",
  "job-places.ts",
  "jobs.ts",
  "leftovers.ts",
  "replace-payloads.ts",
  "scan-mark.ts",
  "shared-concurrency.ts",
];
const layout = /:(?:wait|active|delayed|failed|stalled|marker|lock)["`]/;

const root = new URL("../../../", import.meta.url).pathname;

/** @returns what files outside the room know of its inside, as `file: what` */
function breaches(sources: ReadonlyMap<string, string>): string[] {
  const found: string[] = [];
  for (const [file, text] of sources) {
    if (file.startsWith(room)) continue;
    for (const [, name = ""] of text.matchAll(/from "[^"]*\/bullmq\/([^"]+)"/g)) {
      if (!offered.includes(name)) found.push(`${file}: ${name}`);
    }
    const [match] = layout.exec(text) ?? [];
    if (match !== undefined) found.push(`${file}: ${match}`);
  }
  return found;
}

test("no file outside queue/bullmq/ knows BullMQ's keys, scores or scripts", () => {
  assert.deepEqual(breaches(readSources(root)), []);
});

test("a file that imports the keys, or writes one down, is found", () => {
  const sources = new Map([
    ["services/admin/admin.ts", 'import { jobKey } from "../../shared/queue/bullmq/keys.ts";'],
    ["shared/queue/operator/inspector.ts", 'redis.llen("{postern}:delivery:wait");'],
    ["shared/queue/bullmq/jobs.ts", 'import { jobKey } from "./keys.ts";'],
    ["shared/queue/producer.ts", 'import { addJobs } from "./bullmq/jobs.ts";'],
  ]);
  assert.deepEqual(breaches(sources), [
    "services/admin/admin.ts: keys.ts",
    'shared/queue/operator/inspector.ts: :wait"',
  ]);
});
