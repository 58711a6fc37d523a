import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deadAfterAttempt,
  deadFromMessage,
  deadJobId,
  deadUnreadable,
  deadUnreadableBounce,
  parseDeadJob,
  requeuedJob,
} from "../../../shared/queue/contract/dead-job.ts";
import { makeDeliveryJob } from "../../../shared/queue/contract/delivery-job.ts";
import { routeNamed } from "../../support/route-named.ts";
import { busy, storedMessage } from "./stored-message.ts";

const atMs = 1_700_000_100_000;
const message = storedMessage({ from: "", to: ["a@example.org", "b@example.org"] });
const delivery = makeDeliveryJob(message, 1, routeNamed("mx example.org"), false);

test("mail that dies at its first attempt was tried once", () => {
  const dead = deadAfterAttempt(delivery, { diagnosis: busy, atMs });
  assert.deepEqual(dead.job.history, { attempts: 1, last: [], lastAttemptAtMs: busy.atMs });
  assert.deepEqual([dead.reason, dead.diagnosis, dead.deadAtMs], [busy.reason, busy, atMs]);
});

test("mail that dies after others keeps what the earlier attempts found out", () => {
  const last = [{ recipients: [1], diagnosis: busy }];
  const job = { ...delivery, history: { attempts: 4, lastAttemptAtMs: 1, last } };
  const dead = deadAfterAttempt(job, { diagnosis: busy, atMs });
  assert.deepEqual(dead.job.history, { attempts: 5, lastAttemptAtMs: busy.atMs, last });
});

test("a dead job has the id of its delivery job, wherever it is made", () => {
  const id = `${message.meta.id}-1`;
  assert.equal(deadJobId(deadAfterAttempt(delivery, { diagnosis: busy, atMs })), id);
  assert.equal(deadJobId(deadFromMessage(message, 1, routeNamed("mx"), { diagnosis: busy, atMs })), id);
  assert.equal(deadJobId(deadUnreadable(delivery, "damaged", atMs)), id);
});

test("a notification that came back is dead for another reason than the recipient's diagnosis", () => {
  const cause = { diagnosis: busy, atMs };
  const dead = deadFromMessage(message, 1, routeNamed("mx"), cause, "the notification could not be returned");
  assert.equal(dead.reason, "the notification could not be returned");
  assert.equal(dead.diagnosis, busy);
  assert.deepEqual([dead.job.to, dead.job.route, dead.job.again], [["b@example.org"], "mx", true]);
});

test("a message that cannot be read is dead without a diagnosis, with what its last job knows", () => {
  assert.deepEqual(deadUnreadable(delivery, "damaged", atMs), {
    version: 1,
    job: delivery,
    reason: "damaged",
    deadAtMs: atMs,
  });
  const { id } = message.meta;
  const bounce = { version: 1 as const, kind: "failed" as const, id, locator: message.locator };
  const dead = deadUnreadableBounce(bounce, "damaged", atMs);
  assert.deepEqual([deadJobId(dead), dead.job.to, dead.job.receivedAtMs], [`${id}-0`, [], atMs]);
});

test("a dead job is read as it was written, and any other payload is refused", () => {
  const dead = deadFromMessage(message, 1, routeNamed("mx"), { diagnosis: busy, atMs });
  assert.deepEqual(parseDeadJob(JSON.parse(JSON.stringify(dead))), dead);
  assert.equal(parseDeadJob(delivery), undefined);
  assert.equal(parseDeadJob(null), undefined);
});

test("requeued mail begins a new schedule, and its workers look for what is settled already", () => {
  const history = { attempts: 9, last: [] };
  const { job } = deadAfterAttempt({ ...delivery, heldMs: 5_000, history }, { diagnosis: busy, atMs });
  assert.deepEqual(requeuedJob({ job }, atMs), { ...delivery, again: true, revivedAtMs: atMs });
});
