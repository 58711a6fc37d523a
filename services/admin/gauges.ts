/** The gauges of the whole gateway on the admin's /metrics, besides those of its own process. */
import type { Metrics } from "../../shared/runtime/metrics.ts";
import { memoryOf } from "../../shared/runtime/redis-health.ts";
import type { AdminDependencies } from "./routes/dependencies.ts";
import { queueRows } from "./routes/overview-routes.ts";
import { within } from "./routes/readiness.ts";

/** Prometheus waits for 10 s by default; a gauge that cannot be read is left out. */
const limitMs = 2_000;

export function registerGauges(metrics: Metrics, deps: AdminDependencies): void {
  const read = async <T>(ask: () => Promise<T>, shape: (value: T) => Map<string, number>) => {
    const answer = await within(limitMs, ask);
    return answer.kind === "ok" ? shape(answer.value) : new Map<string, number>();
  };
  metrics.gauge(
    "queue_jobs",
    "Jobs by queue and state: waiting (due, and no worker has it), active, deferred (until the next attempt), held (by an operator), dead. `waiting` grows for minutes: no worker runs, or too few; `dead` grows: `postern queue list --status dead`.",
    () => read(() => deps.inspector.counts(), depthSeries),
    ["queue", "state"],
  );
  metrics.gauge(
    "queue_oldest_seconds",
    "Age of the oldest message by queue and state, as of the last scan of the queues. `waiting` above a minute: too few workers; `deferred` near queue.expire: mail will be returned.",
    () => deps.inspector.ages()?.oldestSeconds ?? new Map(),
    ["queue", "state"],
  );
  metrics.gauge(
    "queue_age_jobs",
    "Jobs by queue, state and age since acceptance, in the columns of `postern queue summary`: up to 5m, 10m, 20m, … 1280m, or older; each counts once.",
    () => deps.inspector.ages()?.jobs ?? new Map(),
    ["queue", "state", "age"],
  );
  metrics.gauge(
    "redis_memory_bytes",
    "Memory of Redis: used, and its limit (maxmemory; 0: none). At the limit nothing can be scheduled, see `postern health`; a job takes some 1.25 KB.",
    () => read(deps.memoryInfo, memorySeries),
    ["kind"],
  );
  metrics.gauge(
    "spool_bytes",
    "Octets of the spool's file system: used by the spool, and free. Free less than one night's mail: make room, or mail is refused with 452.",
    () =>
      read(
        () => deps.spoolStatus(),
        ({ bytesUsed, bytesFree }) =>
          new Map([
            ["used", bytesUsed],
            ["free", bytesFree],
          ]),
      ),
    ["kind"],
  );
  metrics.gauge(
    "oldest_message_seconds",
    "Age of the oldest message to deliver; 0 when there is none. Above queue.expire: nothing is delivered at all.",
    () => (deps.oldestMs() ?? 0) / 1000,
  );
  metrics.gauge(
    "ready",
    "1: the gateway accepts, delivers and bounces mail. 0 for a minute: `postern health` says why not.",
    async () => ((await deps.health()).ready ? 1 : 0),
  );
  metrics.gauge(
    "redis_up",
    "1: Redis answers. 0 for a minute: nothing is scheduled; accepted mail waits in the spool. Start Redis.",
    async () => {
      const answer = await within(limitMs, async () => deps.redis.ping());
      return answer.kind === "ok" ? 1 : 0;
    },
  );
  metrics.gauge(
    "services",
    "Processes that announce themselves, by service and readiness. A service without one that is ready does not do its work.",
    () =>
      read(deps.services, (services) => {
        const series = new Map<string, number>();
        for (const { name, ready } of services) {
          const key = `${name}\t${ready ? "yes" : "no"}`;
          series.set(key, (series.get(key) ?? 0) + 1);
        }
        return series;
      }),
    ["name", "ready"],
  );
}

function depthSeries(counts: Parameters<typeof queueRows>[0]): Map<string, number> {
  const series = new Map<string, number>();
  for (const { name, oldestSeconds: _, ...states } of queueRows(counts)) {
    for (const [state, count] of Object.entries(states)) series.set(`${name}\t${state}`, count);
  }
  return series;
}

/** @param info  the section `memory` of INFO */
function memorySeries(info: string): Map<string, number> {
  const { usedBytes, maxBytes } = memoryOf(info);
  return new Map([
    ["used", usedBytes],
    ["limit", maxBytes],
  ]);
}
