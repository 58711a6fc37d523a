import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import type { Task } from "../../services/admin/tasks/task.ts";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;
before(async () => {
  admin = await startTestAdmin();
});
after(() => admin.close());
afterEach(async () => {
  await admin.post("/api/v1/messages/remove", { all: true });
  admin.log.length = 0;
});

async function json<T = Record<string, unknown>>(answer: Response | Promise<Response>): Promise<T> {
  return (await (await answer).json()) as T;
}

const statuses = async (): Promise<string[]> =>
  (await json<{ messages: { status: string }[] }>(admin.get("/api/v1/messages"))).messages.map(
    ({ status }) => status,
  );

const ended = (id: string): Promise<Task> =>
  waitFor("the task to end", async () => {
    const task = await json<Task>(admin.get(`/api/v1/tasks/${id}`));
    return task.state === "running" ? undefined : task;
  });

test("a dry run says what would be changed, and changes nothing", async () => {
  await admin.accept();
  await admin.accept();
  for (const [action, changed] of [
    ["hold", 2],
    ["remove", 2],
    ["retry", 0],
    ["release", 0],
    ["put-back", 0],
  ] as const) {
    const report = await json(admin.post(`/api/v1/messages/${action}`, { all: true, dryRun: true }));
    assert.deepEqual([report.matched, report.changed, report.task], [2, changed, null], action);
  }
  assert.deepEqual(await statuses(), ["waiting", "waiting"]);
  assert.deepEqual((await json<{ holds: unknown[] }>(admin.get("/api/v1/holds"))).holds, []);
  assert.deepEqual(
    admin.log.filter(({ event }) => event === "admin.change"),
    [],
  );
});

test("a task goes on by itself, says how far it is, and stands in the list and in the log", async () => {
  const { meta } = await admin.accept();
  await admin.accept({ from: "other@example.net" });
  const answer = await admin.post("/api/v1/tasks", {
    action: "hold",
    filter: { from: "a@example.net" },
    reason: "looks odd",
  });
  assert.equal(answer.status, 202);
  const task = await ended((await json<Task>(answer)).id);
  assert.deepEqual(
    { ...task, id: "", startedAt: "", finishedAt: "" },
    {
      id: "",
      action: "hold",
      selection: { filter: { from: "a@example.net" } },
      reason: "looks odd",
      by: "admin",
      state: "done",
      startedAt: "",
      finishedAt: "",
      total: 1,
      matched: 1,
      changed: 1,
      skipped: 0,
      error: null,
    },
  );
  assert.deepEqual((await statuses()).toSorted(), ["held", "waiting"]);
  const { tasks } = await json<{ tasks: Task[] }>(admin.get("/api/v1/tasks"));
  assert.equal(tasks[0]?.id, task.id, "the newest first");
  const lines = admin.log.filter((line) => line.task === task.id);
  assert.deepEqual(
    lines.map(({ event, by, reason, ids, changed }) => ({ event, by, reason, ids, changed })),
    [
      { event: "message.held", by: "admin", reason: "looks odd", ids: [meta.id], changed: undefined },
      { event: "admin.change", by: "admin", reason: "looks odd", ids: undefined, changed: 1 },
    ],
  );
});

test("a cancelled task stops, and what it changed stays changed", async () => {
  await admin.accept();
  const answer = await admin.post("/api/v1/tasks", { action: "hold", all: true });
  const { id } = await json<Task>(answer);
  const cancelled = await fetch(`${admin.url}/api/v1/tasks/${id}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${token}` },
  });
  const task = await ended(id);
  // It may have been quicker: over, or with its last messages.
  assert.ok(task.state === "cancelled" ? cancelled.status === 200 : [200, 409].includes(cancelled.status));
  const again = await fetch(`${admin.url}/api/v1/tasks/${id}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(again.status, 409);
  assert.match(String((await json(again)).detail), /is (cancelled|done)\.$/);
});

test("a task that no action has, or with terms of another action, is refused", async () => {
  for (const body of [
    { action: "explode", all: true },
    { action: "retry" },
    { action: "retry", all: true, notify: true },
    { action: "remove", all: true, until: "2999-01-01T00:00:00Z" },
  ]) {
    assert.equal((await admin.post("/api/v1/tasks", body)).status, 400, JSON.stringify(body));
  }
  assert.equal((await admin.get("/api/v1/tasks/t0")).status, 404);
  assert.equal((await admin.post("/api/v1/tasks", { action: "hold", all: true }, {})).status, 401);
});
