import assert from "node:assert/strict";
import { test } from "node:test";
import { isQueueId, makeQueueId, queueIdTimeMs } from "../../../shared/mail/queue-id.ts";

test("queue ids sort by time and are safe in replies, file names and job ids", () => {
  const random = new Uint8Array(9).fill(255);
  const earlier = makeQueueId(1_700_000_000_000, random);
  const later = makeQueueId(1_700_000_000_001, new Uint8Array(9));
  assert.ok(earlier < later);
  assert.match(earlier, /^[0-9A-Z]{18}$/);
  assert.ok(isQueueId(earlier));
  assert.ok(!isQueueId(earlier.toLowerCase()));
  assert.ok(!isQueueId("123"));
});

test("a queue id, and a job id that begins with it, contain the time of acceptance", () => {
  const id = makeQueueId(1_700_000_000_123, new Uint8Array(9));
  assert.equal(queueIdTimeMs(id), 1_700_000_000_123);
  assert.equal(queueIdTimeMs(`${id}-0`), 1_700_000_000_123);
});
