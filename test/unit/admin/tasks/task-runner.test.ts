import assert from "node:assert/strict";
import { test } from "node:test";
import { type StoredTask, shownTask } from "../../../../services/admin/tasks/task.ts";
import type { TaskDeps } from "../../../../services/admin/tasks/task-deps.ts";
import {
  TaskCancelled,
  type TaskRequest,
  TaskRunner,
  TooManyTasks,
} from "../../../../services/admin/tasks/task-runner.ts";
import { createLogger } from "../../../../shared/runtime/log.ts";

const stored: StoredTask = {
  id: "t1",
  action: "hold",
  selection: { all: true },
  reason: null,
  by: "admin",
  state: "running",
  startedAt: "2026-01-01T00:00:00.000Z",
  finishedAt: null,
  total: null,
  matched: 0,
  changed: 0,
  skipped: 0,
  error: null,
  seenAtMs: 1_000,
};

test("a running task whose admin gives no sign of life is interrupted; one that ended is not", () => {
  assert.equal(shownTask(stored, 20_000).state, "running");
  assert.equal(shownTask(stored, 60_000).state, "interrupted");
  assert.equal(shownTask({ ...stored, state: "done" }, 60_000).state, "done");
  assert.equal("seenAtMs" in shownTask(stored, 0), false);
});

const request: TaskRequest = {
  action: "retry",
  selection: { ids: ["x"] },
  described: { ids: ["x"] },
  terms: {},
  actor: { by: "admin", client: "127.0.0.1" },
};

/** Whose changes go on until they are cancelled. */
function endlessRunner(): { runner: TaskRunner; log: Record<string, unknown>[] } {
  const log: Record<string, unknown>[] = [];
  const hash = new Map<string, string>();
  const deps = {
    log: createLogger("admin", { write: (line) => log.push(JSON.parse(line)) }),
    redis: {
      hset: async (_: string, id: string, text: string) => hash.set(id, text),
      hget: async (_: string, id: string) => hash.get(id) ?? null,
      hgetall: async () => Object.fromEntries(hash),
      hdel: async () => 0,
    },
    inspector: {
      retry: (_: unknown, { signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    },
    now: () => 0,
  };
  return { runner: new TaskRunner(deps as unknown as TaskDeps), log };
}

test("a cancelled task ends as such, with a line in the log, and its report says so", async () => {
  const { runner, log } = endlessRunner();
  const { task, report } = await runner.start(request);
  assert.equal(task.state, "running");
  assert.equal(runner.cancel(task.id), true);
  await assert.rejects(report, TaskCancelled);
  assert.equal((await runner.find(task.id))?.state, "cancelled");
  assert.equal(runner.cancel(task.id), false);
  assert.equal(log.at(-1)?.message, "the change was not completed");
});

test("eight tasks run at once, the ninth is refused, and the end of the admin ends all", async () => {
  const { runner } = endlessRunner();
  const started = await Promise.all(Array.from({ length: 8 }, () => runner.start(request)));
  await assert.rejects(runner.start(request), TooManyTasks);
  await runner.close();
  for (const { task } of started) assert.equal((await runner.find(task.id))?.state, "cancelled");
});
