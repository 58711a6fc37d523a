/**
 * What a service with several workers and their supervisor say to each other over the IPC channel, beside `up` and
 * `cannot-start`. After an upgrade new workers may have an older supervisor: what one side does not know, it ignores. Pure.
 */
import type { Health } from "./health-server.ts";
import type { MetricValues } from "./metrics.ts";

/** To a worker. */
export type WorkerRequest =
  | { kind: "ask"; id: number; what: "health" | "metrics" }
  /** As SIGTERM, which may come beside it from a service manager, and would then be the second signal. */
  | { kind: "stop" };

/** From a worker. */
export type WorkerReport =
  | { kind: "health"; id: number; health: Health }
  | { kind: "metrics"; id: number; metrics: MetricValues[] }
  /** Before it ends. */
  | { kind: "last-metrics"; metrics: MetricValues[] }
  /** It has taken a configuration. `keys` have changed, and it follows them when it is started again. */
  | { kind: "restart-needed"; keys: string[] };

const requests = ["ask", "stop"];
const reports = ["health", "metrics", "last-metrics", "restart-needed"];

export function isWorkerRequest(message: unknown): message is WorkerRequest {
  return isOneOf(message, requests);
}

export function isWorkerReport(message: unknown): message is WorkerReport {
  return isOneOf(message, reports);
}

function isOneOf(message: unknown, kinds: readonly string[]): boolean {
  return (
    typeof message === "object" &&
    message !== null &&
    "kind" in message &&
    kinds.includes(message.kind as string)
  );
}
