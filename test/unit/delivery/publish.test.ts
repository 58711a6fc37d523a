import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { type Effects, noEffects } from "../../../services/delivery/effects.ts";
import { type PublishDeps, publish } from "../../../services/delivery/publish.ts";
import { SpoolFull } from "../../../shared/spool/spool.ts";
import { testConfig } from "../../support/config.ts";
import { delivered, loadedJob, receivedAtMs } from "./worker-fixture.ts";

const { task } = loadedJob();
const { id } = task.job;
const everything: Effects = {
  settlements: [{ id, recipients: [0], state: { kind: "delivered" } }],
  notifications: ["failed", "delayed", "succeeded"],
  deadJob: { version: 1, job: task.job, reason: "no such user", deadAtMs: receivedAtMs },
  logLines: [{ level: "info", fields: { event: "delivery.delivered", id } }],
  measurements: [{ kind: "outcome", outcome: delivered(), delayMs: 1000 }],
};
const inOrder = [
  "settle",
  "log delivery.delivered",
  "measure outcome",
  "enqueue failed",
  "enqueue delayed",
  "enqueue succeeded",
  "enqueue dead",
];

/** @param endsAt  the process ends before this step */
async function published(
  effects: Effects,
  endsAt?: string,
  spool: Partial<PublishDeps["spool"]> = {},
  signal = task.signal,
) {
  const steps: string[] = [];
  const step = (name: string): void => {
    if (name === endsAt) throw new Error(`ended at ${name}`);
    steps.push(name);
  };
  const deps = {
    config: testConfig(),
    log: pino({}, { write: (line: string) => step(`log ${JSON.parse(line).event}`) }),
    metrics: {
      record: ({ kind }: { kind: string }) => step(`measure ${kind}`),
      attempted() {},
      active() {},
    },
    spool: {
      settle: async () => step("settle"),
      recordSettlements: async () => step("settle again"),
      ...spool,
    },
    producer: {
      addBounce: async ({ kind }: { kind: string }) => step(`enqueue ${kind}`),
      addDead: async () => step("enqueue dead"),
    },
  };
  const error = await publish(deps, { ...task, signal }, effects).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return { steps, error };
}

test("the spool has a settlement before anything is logged, counted or enqueued", async () => {
  assert.deepEqual(await published(everything), { steps: inOrder, error: undefined });
});

for (const [index, endsAt] of inOrder.entries()) {
  test(`a process that ends at "${endsAt}" has done what comes before it, and its job is repeated`, async () => {
    const { steps, error } = await published(everything, endsAt);
    assert.deepEqual(steps, inOrder.slice(0, index));
    assert.match(String(error), /ended at/);
  });
}

test("a decision that changes nothing costs neither a write nor a round trip to Redis", async () => {
  assert.deepEqual((await published(noEffects)).steps, []);
});

test("what a full disk does not record is recorded later, before anything is logged or enqueued", async () => {
  const given = { settle: () => Promise.reject(new SpoolFull("no space left")) };
  const { steps, error } = await published(everything, undefined, given);
  assert.equal(error, undefined);
  assert.deepEqual(steps, ["log undefined", "settle again", ...inOrder.slice(1)]);
});

test("a job whose lock is lost is given back unrecorded: another worker has it", async () => {
  const given = {
    settle: () => Promise.reject(new SpoolFull("no space left")),
    recordSettlements: () => Promise.reject(new SpoolFull("still none")),
  };
  const { steps, error } = await published(everything, undefined, given, AbortSignal.timeout(1));
  assert.ok(error instanceof SpoolFull);
  assert.deepEqual(steps, ["log undefined"]);
});
