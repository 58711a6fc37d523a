/** A worker's side of the channel to its supervisor, which speaks for all workers of a service (worker-messages.ts). */
import type { Health } from "./health-server.ts";
import type { Metrics } from "./metrics.ts";
import { isWorkerRequest, type WorkerReport } from "./worker-messages.ts";

export interface WorkerAnswers {
  /** Never rejects, and answers in time. */
  health(): Promise<Health>;
  metrics: Pick<Metrics, "values">;
  stop(): void;
}

/** Answers what the supervisor asks, until the process ends. */
export function answerSupervisor({ health, metrics, stop }: WorkerAnswers): void {
  process.on("message", (message) => {
    if (!isWorkerRequest(message)) return;
    if (message.kind === "stop") return stop();
    const { id } = message;
    const answer: Promise<WorkerReport> =
      message.what === "health"
        ? health().then((health) => ({ kind: "health", id, health }))
        : metrics.values().then((metrics) => ({ kind: "metrics", id, metrics }));
    // Without an answer the supervisor goes on after its time-out.
    void answer.then(report).catch(() => {});
  });
}

/** Sent before the process ends, so that nothing that it has counted is missing from the sums. */
export async function sendLastMetrics(metrics: Pick<Metrics, "values">): Promise<void> {
  await report({ kind: "last-metrics", metrics: await metrics.values() });
}

/** @param keys  of the configuration, which it follows when it is started again */
export function askForRestart(keys: string[]): void {
  void report({ kind: "restart-needed", keys });
}

/** Resolves when it is sent, or cannot be: without a supervisor the process stops anyway. */
function report(message: WorkerReport): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined || !process.connected) return resolve();
    process.send(message, () => resolve());
  });
}
