import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;
beforeEach(async () => {
  admin = await startTestAdmin();
});
afterEach(() => admin.close());

interface Report {
  matched: number;
  changed: number;
  skipped: { id: string; reason: string }[];
  unknown: string[];
  underWay?: string[];
  task?: string | null;
}

async function change(action: string, body: unknown): Promise<Report> {
  const answer = await admin.post(`/api/v1/messages/${action}`, body);
  const report = (await answer.json()) as Report;
  assert.equal(answer.status, 200, JSON.stringify(report));
  return report;
}

async function rows(): Promise<Record<string, unknown>[]> {
  return ((await (await admin.get("/api/v1/messages")).json()) as { messages: Record<string, unknown>[] })
    .messages;
}

async function statesOf(id: string): Promise<string[]> {
  return [...(await admin.spool.states(id, true)).values()].map(({ kind }) => kind);
}

test("retry makes deferred mail due now, and leaves held mail alone", async () => {
  const first = await admin.accept();
  const second = await admin.accept();
  await admin.defer("busy", { forMs: 3_600_000 });
  await change("hold", { ids: [second.meta.id] });
  const report = await change("retry", { all: true });
  assert.deepEqual([report.matched, report.changed], [2, 1]);
  assert.deepEqual(report.skipped, [
    {
      id: `${second.meta.id}-0`,
      reason: `is held by message:${second.meta.id}-0: release it first`,
    },
  ]);
  const byId = new Map((await rows()).map((row) => [row.id, row]));
  assert.ok(Date.parse(String(byId.get(`${first.meta.id}-0`)?.nextAttemptAt)) <= Date.now() + 1000);
  assert.equal(byId.get(`${second.meta.id}-0`)?.status, "held");
});

test("a hold costs no attempt and no time, and released mail is due at once", async () => {
  const { meta } = await admin.accept();
  await admin.defer("busy");
  const held = await change("hold", { ids: [meta.id], reason: "looks like spam" });
  assert.deepEqual([held.matched, held.changed], [1, 1]);
  const [row] = await rows();
  assert.equal(row?.status, "held");
  assert.equal(row?.reason, "looks like spam");
  assert.equal(row?.attempts, 1);
  assert.equal(row?.nextAttemptAt, null);
  assert.equal((await change("release", { ids: [meta.id] })).changed, 1);
  const [released] = await rows();
  assert.equal(released?.status, "deferred");
  assert.equal(released?.attempts, 1);
  assert.equal(released?.reason, "busy");
});

test("a destination can be held by a rule, also for mail that comes later, and released", async () => {
  await admin.accept({ to: [["b@example.com"]] });
  const added = await admin.post("/api/v1/holds", {
    kind: "destination",
    value: "example.com",
    reason: "their server is down",
    until: "2038-01-01T00:00:00.000Z",
  });
  assert.equal(added.status, 201);
  const { hold, parked } = (await added.json()) as { hold: Record<string, unknown>; parked: number };
  assert.equal(hold.id, "destination:example.com");
  assert.equal(parked, 1);
  const { holds } = (await (await admin.get("/api/v1/holds")).json()) as { holds: unknown[] };
  assert.deepEqual(holds, [hold]);
  assert.equal((await rows())[0]?.status, "held");

  const path = `/api/v1/holds/${encodeURIComponent("destination:example.com")}`;
  const remove = () =>
    fetch(admin.url + path, {
      method: "DELETE",
      headers: { authorization: "Bearer test-token-of-the-admin" },
    });
  assert.equal((await fetch(admin.url + path, { method: "DELETE" })).status, 401);
  assert.deepEqual(await (await remove()).json(), { released: 1, stillHeld: 0 });
  assert.equal((await remove()).status, 404);
  assert.equal((await rows())[0]?.status, "deferred");
  assert.ok(
    admin.log.some(({ event, hold: id }) => event === "admin.unhold" && id === "destination:example.com"),
  );
});

test("a hold needs a value that fits its kind, and an end in the future", async () => {
  for (const body of [
    { kind: "sender" },
    { kind: "all", value: "x" },
    { kind: "everything" },
    { kind: "sender", value: "a@b", until: "tomorrow" },
    { kind: "sender", value: "a@b", until: "2001-01-01T00:00:00Z" },
    { kind: "sender", value: "   " },
    { kind: "destination", value: "foo bar" },
    {},
  ]) {
    assert.equal((await admin.post("/api/v1/holds", body)).status, 400, JSON.stringify(body));
  }
});

test("removed mail is settled in the spool, so that nothing brings it back", async () => {
  const message = await admin.accept({ to: [["b@example.com", "c@example.com"], ["d@example.org"]] });
  const { id } = message.meta;
  const report = await change("remove", { ids: [`${id}-0`] });
  const { task, ...rest } = report;
  assert.match(String(task), /^t/);
  assert.deepEqual(rest, { matched: 1, changed: 1, skipped: [], unknown: [], underWay: [] });
  assert.deepEqual(await statesOf(id), ["removed", "removed"]);
  assert.deepEqual(
    (await rows()).map((row) => row.id),
    [`${id}-1`],
  );
  await change("remove", { filter: { to: "*@example.org" } });
  assert.deepEqual(await rows(), []);
  for await (const left of admin.spool.unsettled()) assert.fail(`${left.meta.id} is not settled`);
  assert.ok(admin.log.some((line) => line.event === "message.settled" && line.id === id));
});

test("mail that is being delivered is removed too: that attempt is its last", async () => {
  const { meta } = await admin.accept();
  const hands = await admin.takeActive();
  const jobId = `${meta.id}-0`;
  assert.deepEqual(hands.jobIds, [jobId]);
  const report = await change("remove", { ids: [meta.id] });
  const { task: _, ...rest } = report;
  assert.deepEqual(rest, { matched: 1, changed: 1, skipped: [], unknown: [], underWay: [jobId] });
  assert.deepEqual(await statesOf(meta.id), ["removed"]);
  await hands.letGo({ kind: "done" });
});

test("the sender of removed mail is notified when the operator asks for it", async () => {
  const { meta } = await admin.accept({
    envelope: {
      recipients: [{ address: "b@example.com" }, { address: "c@example.com", notify: [] }],
    },
    to: [["b@example.com", "c@example.com"]],
  });
  const nullSender = await admin.accept({ from: "" });
  await change("remove", { all: true, notify: true });
  const states = await admin.spool.states(meta.id, true);
  const state = states.get(0);
  assert.ok(state?.kind === "failed");
  assert.equal(state.diagnosis.status, "5.7.0");
  assert.equal(states.get(1)?.kind, "removed");
  assert.deepEqual(await statesOf(nullSender.meta.id), ["removed"]);
  const { bounce } = await admin.inspector.counts();
  assert.equal(bounce.deferred + bounce.waiting, 1);
});

test("mail that is being delivered is not removed with a notification: its outcome is not known yet", async () => {
  const { meta } = await admin.accept();
  const hands = await admin.takeActive();
  const report = await change("remove", { ids: [meta.id], notify: true });
  assert.equal(report.changed, 0);
  assert.match(report.skipped[0]?.reason ?? "", /is being delivered/);
  assert.deepEqual(await statesOf(meta.id), []);
  await hands.letGo({ kind: "done" });
});

test("dead mail is not retried but requeued, with the schedule of new mail", async () => {
  const message = await admin.accept({ from: "", to: [["b@example.com"], ["c@example.com"]] });
  const { id } = message.meta;
  await admin.inspector.remove({ ids: [id] });
  await admin.moveToDead(message, "user unknown");
  const alive = await admin.accept();
  const retried = await change("retry", { ids: [id] });
  assert.deepEqual([retried.matched, retried.changed], [2, 0]);
  assert.match(retried.skipped[0]?.reason ?? "", /put it back/);
  const report = await change("put-back", { all: true });
  assert.deepEqual([report.matched, report.changed], [3, 2]);
  assert.deepEqual(report.skipped, [{ id: `${alive.meta.id}-0`, reason: "is not dead" }]);
  assert.deepEqual(new Set(await statesOf(id)), new Set(["pending"]));
  const row = (await rows()).find((each) => each.id === `${id}-1`);
  assert.equal(row?.status, "waiting");
  assert.equal(row?.attempts, 0);
});

test("dead mail can be removed", async () => {
  const message = await admin.accept({ from: "" });
  await admin.inspector.remove({ ids: [message.meta.id] });
  await admin.moveToDead(message, "user unknown");
  assert.equal((await change("remove", { filter: { status: "dead" } })).changed, 1);
  assert.deepEqual(await statesOf(message.meta.id), ["removed"]);
  assert.deepEqual(await rows(), []);
});

test("a job whose message is no longer in the spool is removed without a report", async () => {
  const { meta } = await admin.accept();
  await admin.spool.settle([{ id: meta.id, recipients: [0], state: { kind: "delivered" } }]);
  await admin.spool.collect();
  assert.equal((await change("remove", { ids: [meta.id] })).changed, 1);
  assert.deepEqual(await rows(), []);
});

test("one filter removes very many messages", async () => {
  await Promise.all(Array.from({ length: 1200 }, () => admin.accept({ to: [["b@many.example"]] })));
  const kept = await admin.accept();
  const report = await change("remove", { filter: { to: "*@many.example" } });
  assert.deepEqual([report.matched, report.changed, report.skipped.length], [1200, 1200, 0]);
  assert.deepEqual(
    (await rows()).map((row) => row.id),
    [`${kept.meta.id}-0`],
  );
});

test("unknown ids are named, and the other messages are changed", async () => {
  const { meta } = await admin.accept();
  const report = await change("hold", {
    ids: ["0123456789ABCDEFGH", meta.id, meta.id, "../x", "<no@where>"],
  });
  assert.deepEqual(report.unknown, ["0123456789ABCDEFGH", "../x", "<no@where>"]);
  assert.equal(report.changed, 1);
});

test("a change needs exactly one selection", async () => {
  const { meta } = await admin.accept();
  for (const action of ["retry", "hold", "release", "remove", "put-back"]) {
    for (const body of [
      {},
      { ids: [] },
      { ids: [""] },
      { ids: [7] },
      { ids: "x" },
      { ids: Array(10_001).fill("x") },
      { all: false },
      { filter: {} },
      { filter: { status: "lost" } },
      { filter: { older: "2 hours" } },
      { ids: ["x"], all: true },
      { all: true, filter: { to: "x" } },
      { all: true, nonsense: 1 },
      [],
      "7",
      "null",
    ]) {
      const answer = await admin.post(`/api/v1/messages/${action}`, body);
      assert.equal(answer.status, 400, `${action} ${JSON.stringify(body).slice(0, 80)}`);
    }
  }
  assert.deepEqual(
    (await rows()).map(({ id, status }) => [id, status]),
    [[`${meta.id}-0`, "waiting"]],
  );
});

test("every change is logged with who made it, from where, and the result", async () => {
  const { meta } = await admin.accept();
  await change("hold", { ids: [meta.id], reason: "why not" });
  await change("remove", { filter: { from: "a@example.net" } });
  const changes = admin.log.filter(({ event }) => event === "admin.change");
  assert.deepEqual(
    changes.map(({ action, by, client, ids, filter, reason, changed }) => ({
      action,
      by,
      client,
      ids,
      filter,
      reason,
      changed,
    })),
    [
      {
        action: "hold",
        by: "admin",
        client: "127.0.0.1",
        ids: [meta.id],
        filter: undefined,
        reason: "why not",
        changed: 1,
      },
      {
        action: "remove",
        by: "admin",
        client: "127.0.0.1",
        ids: undefined,
        filter: { from: "a@example.net" },
        reason: undefined,
        changed: 1,
      },
    ],
  );
  assert.ok(!JSON.stringify(admin.log).includes("test-token-of-the-admin"));
});

test("without Redis changes and lists answer 503, and work again when it is back", async () => {
  await admin.accept();
  await admin.redis.stop();
  const startedAt = performance.now();
  for (const answer of await Promise.all([
    admin.get("/api/v1/messages"),
    admin.get("/api/v1/queues"),
    admin.get("/api/v1/services"),
    admin.post("/api/v1/messages/retry", { all: true }),
    admin.post("/api/v1/messages/remove", { all: true }),
    admin.post("/api/v1/holds", { kind: "all" }),
  ])) {
    assert.equal(answer.status, 503);
    assert.match(String(answer.headers.get("content-type")), /^application\/problem\+json/);
  }
  assert.ok(performance.now() - startedAt < 60_000);
  await admin.redis.restart();
  await waitFor("lists to work again", async () => (await admin.get("/api/v1/messages")).status === 200);
});
