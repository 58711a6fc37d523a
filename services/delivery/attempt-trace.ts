/** The spans of an attempt and its steps, made from the times that the SMTP client has measured. */
import { identifyNextHop } from "../../shared/routing/next-hop.ts";
import type { Tracing } from "../../shared/runtime/tracing.ts";
import type { AttemptFacts, AttemptResult } from "../../shared/smtp-client/smtp-client.ts";
import type { DeliveryGroup, LoadedJob } from "./plan.ts";

/** Only of messages that are traced. @param times  epoch milliseconds */
export function traceAttempt(
  tracing: Tracing,
  { task, meta }: Pick<LoadedJob, "task" | "meta">,
  { row, nextHop, recipients }: Pick<DeliveryGroup, "row" | "nextHop" | "recipients">,
  result: AttemptResult,
  times: { startedMs: number; nowMs: number },
): void {
  if (meta.traceparent === undefined || result.kind !== "tried") return;
  const { outcomes, facts } = result;
  const span = tracing.startSpan("attempt", meta.traceparent, times.startedMs, {
    "postern.id": meta.id,
    "postern.queue": task.queue,
    "postern.attempt": (task.job.history?.attempts ?? 0) + 1,
    "postern.row": row,
    "postern.next_hop": identifyNextHop(nextHop).label,
    "postern.recipients": recipients.length,
  });
  if (span === undefined) return;
  for (const step of facts.steps ?? []) traceStep(tracing, span.traceparent, step);
  const counts = { delivered: 0, deferred: 0, rejected: 0 };
  let failed: string | undefined;
  for (const outcome of outcomes.values()) {
    counts[outcome.kind]++;
    if (outcome.kind === "delivered") continue;
    const { class: failureClass, status } = outcome.diagnosis;
    failed ??= `${outcome.kind}: ${failureClass} ${status}`;
  }
  span.end(times.nowMs, {
    attributes: {
      "postern.delivered": counts.delivered,
      "postern.deferred": counts.deferred,
      "postern.rejected": counts.rejected,
    },
    failed,
  });
}

function traceStep(tracing: Tracing, parent: string, step: NonNullable<AttemptFacts["steps"]>[number]): void {
  const { name, startedMs, durationMs, host, failed, session } = step;
  const attributes = {
    ...(host === undefined ? {} : { "server.address": host }),
    ...(session === undefined
      ? {}
      : {
          "tls.protocol.version": session.tls,
          "postern.tls.policy": session.policy,
          "postern.tls.verified": session.verified,
          "postern.connection.reused": session.reused,
        }),
  };
  const span = tracing.startSpan(name, parent, startedMs, attributes);
  span?.end(startedMs + durationMs, failed === true ? { failed: `${name} failed` } : {});
}
