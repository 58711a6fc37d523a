/**
 * The workers of one service: as many processes as were asked for, each started again when it ends, stopped together, and
 * replaced one after another. Owns the processes.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Health } from "../../../shared/runtime/health-server.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import type { MetricValues } from "../../../shared/runtime/metrics.ts";
import type { WorkerReport } from "../../../shared/runtime/worker-messages.ts";
import { endedTotals, type WorkerMetrics } from "../../../shared/runtime/worker-metrics.ts";
import { type Child, type ChildSettings, type ServiceUp, superviseChild } from "./child.ts";
import { type AskedWorker, healthOfWorkers } from "./worker-health.ts";

export interface WorkerGroupOptions {
  /** Of the service. */
  name: string;
  count: number;
  log: Logger;
  /** Of a worker that listens on these sockets. */
  settings(sockets: readonly number[]): Pick<ChildSettings, "program" | "args" | "start">;
  sockets: readonly number[];
  graceMs: number;
  /** A worker follows changes of these keys when it is started again. */
  onRestartNeeded(keys: string[]): void;
}

export interface WorkerGroup {
  /** Resolves when all of them run. Rejects with CannotStart. */
  readonly up: Promise<ServiceUp>;
  reload(): void;
  health(): Promise<Health>;
  metrics(): Promise<{ workers: WorkerMetrics[]; ended: readonly MetricValues[] }>;
  /**
   * Starts a successor of each worker, and stops the worker when its successor runs.
   * @throws CannotStart when a successor does not start; the workers that are left go on
   */
  replaceAll(sockets: readonly number[]): Promise<void>;
  /** How many run, and how many have ended by themselves. */
  counts(): { ready: number; exits: number };
  stop(): Promise<void>;
}

/** Shorter than the time-out of a health check. */
const answerMs = 4_000;

export function startWorkers(options: WorkerGroupOptions): WorkerGroup {
  const { name, count, log, graceMs } = options;
  const asked = new Map<number, (report: WorkerReport | undefined) => void>();
  /** What a worker answered last, by process, in case it is killed. */
  const lastMetrics = new Map<number, MetricValues[]>();
  /** Workers that are to end, by process: their successors run. */
  const leaving = new Map<number, Child>();
  let ended: readonly MetricValues[] = [];
  let adding: Promise<void> = Promise.resolve();
  let exits = 0;
  let question = 0;
  let stopping = false;
  let replacing: Child | undefined;

  const events = {
    onReport(report: WorkerReport, pid: number): void {
      if (report.kind === "restart-needed") options.onRestartNeeded(report.keys);
      else if (report.kind === "last-metrics") lastMetrics.set(pid, report.metrics);
      else asked.get(report.id)?.(report);
    },
    onExit(pid: number): void {
      if (!leaving.delete(pid) && !stopping) exits++;
      const last = lastMetrics.get(pid);
      lastMetrics.delete(pid);
      if (last === undefined) return;
      adding = adding.then(async () => {
        ended = await endedTotals(ended, last);
      });
    },
  };
  const start = (sockets: readonly number[]): Child =>
    superviseChild(
      { ...options.settings(sockets), name: `a worker of ${name}`, sockets, worker: events },
      undefined,
      log,
    );
  const children = Array.from({ length: count }, () => start(options.sockets));

  /** @returns `undefined` when it does not answer */
  async function ask(child: Child, what: "health" | "metrics"): Promise<WorkerReport | undefined> {
    const id = ++question;
    const late = new AbortController();
    try {
      return await Promise.race([
        new Promise<WorkerReport | undefined>((resolve) => {
          asked.set(id, resolve);
          child.send({ kind: "ask", id, what });
        }),
        wait(answerMs, undefined, { signal: late.signal }),
      ]);
    } finally {
      asked.delete(id);
      late.abort();
    }
  }

  return {
    up: Promise.all(children.map((child) => child.up)).then(([first]) => first as ServiceUp),
    reload() {
      for (const child of children) child.signal("SIGHUP");
    },
    async health() {
      const answers = children.map(async (child, index): Promise<AskedWorker> => {
        const { pid } = child;
        const report = pid === undefined ? undefined : await ask(child, "health");
        return { worker: index + 1, pid, health: report?.kind === "health" ? report.health : undefined };
      });
      return healthOfWorkers(await Promise.all(answers));
    },
    async metrics() {
      const asking = [
        ...children.map((child, index) => ({ child, pid: child.pid, worker: index + 1 })),
        ...[...leaving].map(([pid, child]) => ({ child, pid, worker: undefined })),
      ].flatMap(({ pid, ...others }) => (pid === undefined ? [] : [{ ...others, pid }]));
      await Promise.all(
        asking.map(async ({ child, pid }) => {
          const report = await ask(child, "metrics");
          if (report?.kind === "metrics" && child.pid === pid) lastMetrics.set(pid, report.metrics);
        }),
      );
      // One that has ended meanwhile counts among those that have.
      let added: Promise<void> | undefined;
      while (added !== adding) {
        added = adding;
        await added;
      }
      const workers = asking.map(({ worker, pid }) => ({ worker, metrics: lastMetrics.get(pid) ?? [] }));
      return { workers, ended };
    },
    async replaceAll(sockets) {
      for (const [index, before] of children.entries()) {
        if (stopping) return;
        const successor = start(sockets);
        replacing = successor;
        try {
          await successor.up;
        } catch (error) {
          await successor.stop(0);
          throw error;
        } finally {
          replacing = undefined;
        }
        if (stopping) return void (await successor.stop(graceMs));
        children[index] = successor;
        const { pid } = before;
        if (pid !== undefined) leaving.set(pid, before);
        await before.stop(graceMs);
        log.info({ worker: index + 1, pid: successor.pid, before: pid }, `${name}: a worker was replaced`);
      }
    },
    counts: () => ({ ready: children.filter(({ pid }) => pid !== undefined).length, exits }),
    async stop() {
      stopping = true;
      const all = replacing === undefined ? children : [...children, replacing];
      await Promise.all(all.map((child) => child.stop(graceMs)));
    },
  };
}
