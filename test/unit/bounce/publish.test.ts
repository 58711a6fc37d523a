import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { BounceDecision } from "../../../services/bounce/bounce-decision.ts";
import { publish } from "../../../services/bounce/publish.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import type { Settlement } from "../../../shared/spool/spool.ts";
import { testConfig } from "../../support/config.ts";
import { routeNamed } from "../../support/route-named.ts";

const nowMs = 1_800_000_060_000;
const id = "1HZ8C4S30ABCDEFGHJ";
const locator = { segment: "s", offset: 0, length: 10, checksum: 1 };
const meta: MessageMeta = {
  version: 1,
  id,
  receivedAtMs: nowMs - 60_000,
  envelope: { reversePath: "alice@example.org", recipients: [{ address: "bob@example.com" }] },
  origin: null,
  received: "",
  size: 2,
  has8bit: false,
  parts: [[0]],
};
const report = { status: "5.1.1" as const, reason: "no such user", atMs: nowMs };
const everything: BounceDecision = {
  settlements: [{ id, recipients: [0], state: { kind: "bounced" } }],
  notifications: [1, 2].map((index) => ({
    original: { meta, body: { kind: "buffer", bytes: Buffer.from("Subject: hi\r\n\r\n") } },
    kind: "failed",
    recipients: [{ address: "bob@example.com", report }],
    settles: { id, recipients: [index], state: { kind: "bounced" } },
  })),
  logLines: [{ level: "info", fields: { event: "message.settled", id } }],
  deadRecipients: 1,
  deadJobs: [
    {
      version: 1,
      job: {
        version: 1,
        id,
        part: 0,
        locator,
        from: "",
        to: [],
        route: "",
        size: 2,
        receivedAtMs: nowMs,
      },
      reason: "no such user",
      deadAtMs: nowMs,
    },
  ],
};
const inOrder = [
  "settle 0",
  "store notification that settles 1",
  "schedule",
  "log dsn.made",
  "store notification that settles 2",
  "schedule",
  "log dsn.made",
  "log message.settled",
  "count dead",
  "enqueue dead",
];

/** @param steps  how many of them the process survives */
async function published(steps = Number.POSITIVE_INFINITY) {
  const done: string[] = [];
  const step = (name: string): void => {
    if (done.length === steps) throw new Error(`ended at ${name}`);
    done.push(name);
  };
  let serial = 0;
  const deps = {
    config: testConfig(),
    log: pino({}, { write: (line: string) => step(`log ${JSON.parse(line).event}`) }),
    metrics: { made() {}, withheld() {}, dead: () => step("count dead") },
    spool: {
      settle: async ([settlement]: Settlement[]) => step(`settle ${settlement?.recipients}`),
      draft: () => ({
        size: 0,
        write: () => undefined,
        async commit(stored: MessageMeta, settles?: Settlement) {
          step(`store notification that settles ${settles?.recipients}`);
          return { meta: stored, locator };
        },
        async discard() {},
      }),
    },
    schedule: () => step("schedule"),
    addDead: async () => step("enqueue dead"),
    summarizeRoute: () => routeNamed("relay"),
    now: () => nowMs,
    random: () => new Uint8Array(9).fill(serial++),
  };
  const error = await publish(deps, everything).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { done, error };
}

test("what needs no notification is settled first, each notification is stored before it is scheduled, dead jobs come last", async () => {
  assert.deepEqual(await published(), { done: inOrder, error: undefined });
});

for (const [index, name] of inOrder.entries()) {
  test(`a process that ends at step ${index}, ${name}, has done those before it, and the job is repeated`, async () => {
    const { done, error } = await published(index);
    assert.deepEqual(done, inOrder.slice(0, index));
    assert.match(String(error), /ended at/);
  });
}
