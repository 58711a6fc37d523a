import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { unreadableMessage } from "../../../services/bounce/decide-dead.ts";
import { decideNotifications } from "../../../services/bounce/decide-notifications.ts";
import { pendingRecipients } from "../../../services/bounce/pending-recipients.ts";
import type { Recipient } from "../../../shared/mail/envelope.ts";
import type { BounceJob } from "../../../shared/queue/contract/contract.ts";
import { compileReportPolicy } from "../../../shared/routing/report-policy.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import { SpoolCorrupt } from "../../../shared/spool/spool.ts";
import { testConfig } from "../../support/config.ts";
import { routeNamed } from "../../support/route-named.ts";

const nowMs = 1_800_000_060_000;
const id = "1HZ8C4S30ABCDEFGHJ";
const locator = { segment: "s", offset: 0, length: 10, checksum: 1 };
const failedJob: BounceJob = { version: 1, kind: "failed", id, locator };
const delayedJob: BounceJob = { version: 1, kind: "delayed", id, locator };
const diagnosis: Diagnosis = { status: "5.1.1", class: "5xx", reason: "no such user", atMs: nowMs };
const failed: RecipientState = { kind: "failed", diagnosis };
const late: RecipientState = { kind: "pending", delay: { diagnosis, willRetryUntilMs: nowMs + 1000 } };

function decide(
  job: BounceJob,
  recipients: Recipient[],
  states: [number, RecipientState][],
  { reversePath = "alice@example.org", parts = [recipients.map((_, index) => index)], dsn = {} } = {},
) {
  const reportPolicy = compileReportPolicy(testConfig({ dsn }));
  const meta = {
    version: 1 as const,
    id,
    receivedAtMs: nowMs - 60_000,
    envelope: { reversePath, recipients },
    origin: null,
    received: "",
    size: 2,
    has8bit: false,
    parts,
  };
  const body = { kind: "buffer" as const, bytes: Buffer.from("\r\n") };
  return decideNotifications(
    job,
    { meta, body },
    new Map(states),
    { reportPolicy, summarizeRoute: () => routeNamed("relay") },
    nowMs,
  );
}

describe("which recipients a bounce job is still about", () => {
  const states = new Map<number, RecipientState>([
    [0, failed],
    [1, late],
    [2, { kind: "pending", warned: true }],
    [3, { kind: "delivered" }],
    [4, { kind: "bounced" }],
  ]);

  test("failures that no notification has settled, delays whose sender was not warned", () => {
    assert.deepEqual(pendingRecipients(failedJob, states), [0]);
    assert.deepEqual(pendingRecipients(delayedJob, states), [1]);
  });

  test("a success report names its recipients itself", () => {
    const reply = { code: 250, lines: ["ok"], command: "DOT" as const };
    const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };
    const recipients = [{ recipient: 3, reply, remote, atMs: nowMs }];
    assert.deepEqual(pendingRecipients({ ...failedJob, kind: "relayed", recipients }, states), [3]);
  });
});

test("each notification settles the recipients that it names; those that want none are settled without one", () => {
  const decision = decide(
    failedJob,
    [{ address: "a@example.com", notify: ["SUCCESS"] }, { address: "b@example.com" }],
    [
      [0, failed],
      [1, failed],
    ],
  );
  assert.deepEqual(decision.settlements, [{ id, recipients: [0], state: { kind: "bounced" } }]);
  assert.deepEqual(
    decision.notifications.map(({ recipients, settles }) => [
      recipients.map(({ address }) => address),
      settles,
    ]),
    [[["b@example.com"], { id, recipients: [1], state: { kind: "bounced" } }]],
  );
});

test("recipients too many and long for one notification are split, and each is named and settled once", () => {
  const address = `${"v".repeat(250)}@${"d".repeat(60)}.example.com`;
  const recipients = Array.from({ length: 1000 }, (_, n) => ({ address: `${n}${address}` }));
  const { notifications } = decide(
    failedJob,
    recipients,
    recipients.map((_, n) => [n, failed]),
  );
  assert.ok(notifications.length > 1);
  assert.deepEqual(
    notifications.flatMap(({ settles }) => settles?.recipients ?? []),
    recipients.map((_, n) => n),
  );
});

test("the message is reported as settled with its last recipient, and not before", () => {
  const recipients = [{ address: "a@example.com" }, { address: "b@example.com" }];
  const events = (states: [number, RecipientState][]) =>
    decide(failedJob, recipients, states).logLines.map(({ fields }) => fields.event);
  assert.deepEqual(events([[0, failed]]), []);
  assert.deepEqual(
    events([
      [0, failed],
      [1, { kind: "delivered" }],
    ]),
    ["message.settled"],
  );
});

test("a warned sender is noted with the warning itself", () => {
  const { notifications } = decide(delayedJob, [{ address: "a@example.com" }], [[0, late]]);
  assert.deepEqual(notifications[0]?.settles, {
    id,
    recipients: [0],
    state: { kind: "pending", warned: true },
  });
});

test("failures that cannot be returned are dead, with a dead job for each recipient group that has some", () => {
  const recipients = ["a", "b", "c", "d"].map((name) => ({ address: `${name}@example.com` }));
  const decision = decide(
    failedJob,
    recipients,
    [
      [0, failed],
      [1, failed],
      [3, failed],
    ],
    { reversePath: "", parts: [[0, 1], [2], [3]] },
  );
  assert.deepEqual(decision.notifications, []);
  assert.equal(decision.deadRecipients, 3);
  assert.deepEqual(
    decision.deadJobs.map(({ job }) => [job.part, job.to]),
    [
      [0, ["a@example.com", "b@example.com"]],
      [2, ["d@example.com"]],
    ],
  );
});

test("with dsn.to: none failures are dead, delays count as reported, and successes are logged", () => {
  const quiet = { dsn: { to: "none" as const } };
  const recipient = { address: "a@example.com" };
  const failure = decide(failedJob, [recipient], [[0, failed]], quiet);
  assert.deepEqual(failure.settlements, [
    { id, recipients: [0], state: { kind: "dead", diagnosis, atMs: nowMs } },
  ]);
  assert.equal(failure.deadJobs[0]?.reason, "its sender is not notified: dsn.to is none");
  const delay = decide(delayedJob, [recipient], [[0, late]], quiet);
  assert.deepEqual(delay.settlements, [{ id, recipients: [0], state: { kind: "pending", warned: true } }]);
  const reply = { code: 250, lines: ["ok"], command: "DOT" as const };
  const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };
  const recipients = [{ recipient: 0, reply, remote, atMs: nowMs }];
  const success = decide({ ...failedJob, kind: "relayed", recipients }, [recipient], [], quiet);
  assert.deepEqual(success.settlements, []);
  for (const [decision, kind] of [
    [failure, "failed"],
    [delay, "delayed"],
    [success, "relayed"],
  ] as const) {
    assert.deepEqual(decision.notifications, []);
    assert.equal(decision.withheld, kind);
  }
  assert.deepEqual(
    [failure, delay, success].flatMap(({ logLines }) => logLines.map(({ fields }) => fields.event)),
    ["message.dead", "dsn.withheld", "dsn.withheld"],
  );
});

test("of a message that cannot be read, failures are dead; a delay counts as reported, and is logged", () => {
  const states = new Map<number, RecipientState>([
    [0, failed],
    [1, late],
  ]);
  const error = new SpoolCorrupt("bad checksum");
  const dead = unreadableMessage(failedJob, states, error, nowMs);
  assert.deepEqual(dead.settlements, [
    { id, recipients: [0], state: { kind: "dead", diagnosis, atMs: nowMs } },
  ]);
  assert.equal(dead.deadJobs.length, 1);
  const logged = unreadableMessage(delayedJob, states, error, nowMs);
  assert.deepEqual(logged.settlements, [{ id, recipients: [1], state: { kind: "pending", warned: true } }]);
  assert.deepEqual([logged.deadJobs, logged.deadRecipients], [[], 0]);
  assert.equal(logged.logLines[0]?.level, "error");
});
