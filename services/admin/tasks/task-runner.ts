/**
 * The room of tasks: changes of many messages, each with an id, its progress, and a line in the log. This file runs them in
 * this process. Owns the running tasks; close() ends them between two chunks, and what they changed stays changed.
 */
import { randomBytes } from "node:crypto";
import {
  type ChangeReport,
  HoldStands,
  type JobSelection,
} from "../../../shared/queue/operator/inspector.ts";
import { logEvent, writeEvent } from "../../../shared/runtime/log.ts";
import { standingHold } from "./hold.ts";
import { importMailbox, type MailboxEntry } from "./import-mailbox.ts";
import { eventOfAction, perform, type TaskReport, type TaskTerms } from "./perform.ts";
import {
  type ChangeAction,
  type StoredReport,
  type StoredTask,
  shownTask,
  signOfLifeMs,
  type Task,
} from "./task.ts";
import type { TaskDeps } from "./task-deps.ts";
import { TaskStore } from "./task-store.ts";

export interface TaskRequest {
  action: ChangeAction;
  selection: JobSelection;
  /** The selection for the log and for people. */
  described: Record<string, unknown>;
  terms: TaskTerms;
  /** Who asked, and from which address. */
  actor: { by: string; client: string };
}

/** Messages that are to be put in the queue. */
export interface ImportRequest extends Omit<TaskRequest, "action" | "selection"> {
  action: "import";
  mailbox: readonly MailboxEntry[];
}

export interface StartedTask {
  task: Task;
  /** @throws Error of Redis or of the spool; TaskCancelled */
  report: Promise<TaskReport>;
}

/** As many run already as one process should run. */
export class TooManyTasks extends Error {
  override name = "TooManyTasks";
}

/** Somebody cancelled the task, or the admin ends. */
export class TaskCancelled extends Error {
  override name = "TaskCancelled";
}

const maxRunning = 8;
/** Entries of each list of a report that are kept. */
const maxListed = 200;
/** So that a line of the log stays readable; a change of many messages makes several. */
const idsOfLine = 100;

export class TaskRunner {
  readonly #deps: TaskDeps;
  readonly #store: TaskStore;
  readonly #running = new Map<string, { stop: AbortController; task: StoredTask; ended: Promise<void> }>();

  constructor(deps: TaskDeps) {
    this.#deps = deps;
    this.#store = new TaskStore(deps.redis);
  }

  /** Counts what a task would do. @throws as `report` of a task */
  tryOut({ action, selection, terms, actor }: TaskRequest): Promise<TaskReport> {
    return perform(this.#deps, action, selection, terms, actor.by, { dryRun: true });
  }

  /** Starts a task; it goes on when nobody waits for it. @throws TooManyTasks, HoldStands, Error of Redis */
  async start(request: TaskRequest | ImportRequest): Promise<StartedTask> {
    const standing = request.action === "hold" ? standingHold(this.#deps, request.selection) : undefined;
    if (standing !== undefined && request.terms.replace !== true) throw new HoldStands(standing);
    if (this.#running.size >= maxRunning) {
      throw new TooManyTasks(`${maxRunning} tasks are running: wait for one, or cancel it`);
    }
    const nowMs = this.#deps.now();
    const task: StoredTask = {
      id: newTaskId(nowMs),
      action: request.action,
      selection: request.described,
      ...(request.terms.via === undefined ? {} : { via: request.terms.via }),
      reason: request.terms.reason ?? null,
      by: request.actor.by,
      state: "running",
      startedAt: new Date(nowMs).toISOString(),
      finishedAt: null,
      total: null,
      matched: 0,
      changed: 0,
      skipped: 0,
      error: null,
      seenAtMs: nowMs,
    };
    const stop = new AbortController();
    const ended = Promise.withResolvers<void>();
    this.#running.set(task.id, { stop, task, ended: ended.promise });
    try {
      task.total =
        request.action === "import" ? request.mailbox.length : await this.#count(request.selection);
      await this.#store.write(task);
    } catch (error) {
      this.#running.delete(task.id);
      ended.resolve();
      throw error;
    }
    const report = this.#run(task, request, stop.signal).finally(() => {
      this.#running.delete(task.id);
      ended.resolve();
    });
    // The log has its failure, when nobody waits for the report.
    report.catch(() => {});
    return { task: shownTask(task, nowMs), report };
  }

  /** The newest first. */
  async list(): Promise<Task[]> {
    const nowMs = this.#deps.now();
    const stored = await this.#store.list();
    return stored.map((task) => shownTask(this.#running.get(task.id)?.task ?? task, nowMs));
  }

  async find(id: string): Promise<Task | undefined> {
    const task = this.#running.get(id)?.task ?? (await this.#store.find(id));
    return task && shownTask(task, this.#deps.now());
  }

  /** What came of a task that is done; `undefined` for any other. */
  report(id: string): Promise<StoredReport | undefined> {
    return this.#store.findReport(id);
  }

  /** @returns whether the task runs in this process, and ends now */
  cancel(id: string): boolean {
    const running = this.#running.get(id);
    // One that is over is still written down.
    if (running?.task.state !== "running") return false;
    running.stop.abort(new TaskCancelled("cancelled"));
    return true;
  }

  async close(): Promise<void> {
    const running = [...this.#running.values()];
    for (const { stop } of running) stop.abort(new TaskCancelled("the admin ended"));
    await Promise.all(running.map(({ ended }) => ended));
  }

  /** How many jobs are selected now; `null` for a filter while the index is being built. */
  async #count(selection: JobSelection): Promise<number | null> {
    if ("ids" in selection) return selection.ids.length;
    const { totals } = await this.#deps.inspector.list(selection.filter, { limit: 1 });
    return totals?.matched ?? null;
  }

  async #run(
    task: StoredTask,
    request: TaskRequest | ImportRequest,
    signal: AbortSignal,
  ): Promise<TaskReport> {
    const { log, now } = this.#deps;
    const { action, terms, actor } = request;
    const facts = { event: "admin.change" as const, action, task: task.id, ...actor, ...request.described };
    const logged = { ...facts, reason: terms.reason, notify: terms.notify, via: terms.via };
    const changed = (messageIds: string[]): void => {
      // Each imported message has an event of its own.
      if (action === "import") return;
      for (let start = 0; start < messageIds.length; start += idsOfLine) {
        const ids = messageIds.slice(start, start + idsOfLine);
        const { reason, via } = terms;
        logEvent(log, { event: eventOfAction[action], ...actor, reason, via, task: task.id, ids });
      }
    };
    const progress = (report: Readonly<ChangeReport>): void => {
      task.matched = report.matched;
      task.changed = report.changed;
      task.skipped = report.skipped.length;
    };
    const writeSignOfLife = setInterval(() => {
      task.seenAtMs = now();
      this.#store.write(task).catch((error) => log.debug({ err: error }, "could not write a task"));
    }, signOfLifeMs);
    try {
      const options = { changed, progress, signal };
      const report =
        request.action === "import"
          ? await importMailbox(this.#deps, request.mailbox, actor, options)
          : await perform(this.#deps, request.action, request.selection, terms, actor.by, options);
      progress(report);
      logEvent(log, { ...logged, ...countsOf(report) });
      await this.#store
        .writeReport(task.id, shortened(report))
        .catch((error) => log.debug({ err: error }, "could not write the report of a task"));
      await this.#finish(task, "done", null);
      return report;
    } catch (error) {
      // Some of the messages may have been changed.
      const message = (error as Error).message;
      const state = error instanceof TaskCancelled ? "cancelled" : "failed";
      writeEvent(
        log,
        "warn",
        { ...logged, changed: task.changed, err: error },
        undefined,
        "the change was not completed",
      );
      await this.#finish(task, state, message);
      throw error;
    } finally {
      clearInterval(writeSignOfLife);
    }
  }

  /** Without Redis the task stays as it was written last, and is shown as interrupted. */
  async #finish(task: StoredTask, state: Task["state"], error: string | null): Promise<void> {
    Object.assign(task, { state, error, finishedAt: new Date(this.#deps.now()).toISOString() });
    try {
      await this.#store.write(task);
      await this.#store.trim();
    } catch (failure) {
      this.#deps.log.debug({ err: failure }, "could not write a task");
    }
  }
}

function countsOf({ matched, changed, skipped, unknown }: ChangeReport): Record<string, number> {
  return { matched, changed, skipped: skipped.length, unknown: unknown.length };
}

function shortened({ matched, changed, skipped, unknown, underWay, rule }: TaskReport): StoredReport {
  return {
    matched,
    changed,
    skipped: skipped.slice(0, maxListed),
    unknown: unknown.slice(0, maxListed),
    ...(underWay === undefined ? {} : { underWay: underWay.slice(0, maxListed) }),
    ...(rule === undefined ? {} : { rule }),
  };
}

/** Sorts by time. */
function newTaskId(nowMs: number): string {
  return `t${nowMs.toString(36)}${randomBytes(3).toString("hex")}`;
}
