/** One attempt to deliver a group of recipients at one next hop. It decides and records nothing. */
import type { Config } from "../../shared/config/schema.ts";
import type { PriorityClass } from "../../shared/limits/priority-class.ts";
import type { DeliveryQueueName } from "../../shared/queue/contract/contract.ts";
import { interruptionOf } from "../../shared/runtime/interruption.ts";
import { type Logger, writeLine } from "../../shared/runtime/log.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import type { AttemptRequest, SmtpClient } from "../../shared/smtp-client/smtp-client.ts";
import { SpoolCorrupt } from "../../shared/spool/spool.ts";
import { traceAttempt } from "./attempt-trace.ts";
import { type GroupResult, noFacts } from "./decide-group.ts";
import { attemptLine } from "./delivery-log.ts";
import type { DeliveryMetrics } from "./delivery-metrics.ts";
import { type DeliveryGroup, expiryMs, type LoadedJob } from "./plan.ts";

export interface AttemptDeps {
  config: Pick<Config, "queue">;
  log: Logger;
  metrics: DeliveryMetrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
  smtpClient: Pick<SmtpClient, "attempt">;
  /** Jobs of each queue at once in this process; one destination has a share of them. Absent: it may have all. */
  shares?: Record<DeliveryQueueName, number>;
  /** Epoch milliseconds. */
  now(): number;
}

/**
 * Never rejects.
 * @param delivered  called when recipients have their mail and the attempt goes on for others
 */
export async function attemptGroup(
  deps: AttemptDeps,
  loaded: LoadedJob,
  group: DeliveryGroup,
  delivered: NonNullable<AttemptRequest["delivered"]>,
): Promise<GroupResult> {
  const { config, log, shares, tracing } = deps;
  const { task, meta, body } = loaded;
  const { signal } = task;
  const startedMs = deps.now();
  try {
    const result = await deps.smtpClient.attempt({
      nextHop: group.nextHop,
      message: meta,
      recipients: group.recipients,
      body,
      signal,
      ...(shares === undefined ? {} : { priorityClass: priorityClassOf(task.queue, shares) }),
      isLast: deps.now() >= expiryMs(loaded, config.queue),
      begun: () => writeLine(log, attemptLine(loaded, group)),
      delivered,
    });
    if (result.kind === "tried") deps.metrics.attempted(result.facts);
    if (tracing !== undefined) traceAttempt(tracing, loaded, group, result, { startedMs, nowMs: deps.now() });
    return result.kind === "tried" ? { ...result, interruption: interruptionOf(signal) } : result;
  } catch (error) {
    if (error instanceof SpoolCorrupt) {
      log.error({ err: error, id: meta.id, job: task.jobId }, "a message in the spool is damaged");
      return { kind: "damaged", error };
    }
    // A defect of ours must neither lose the mail nor spin: it is a failed attempt, with its schedule and its expiry.
    log.error({ err: error, id: meta.id, job: task.jobId }, "an attempt failed by our own fault");
    return { kind: "tried", outcomes: new Map(), facts: noFacts, interruption: interruptionOf(signal) };
  }
}

function priorityClassOf(queue: DeliveryQueueName, shares: Record<DeliveryQueueName, number>): PriorityClass {
  return { name: queue, jobs: shares[queue], isSlow: queue === "delivery-slow" };
}
