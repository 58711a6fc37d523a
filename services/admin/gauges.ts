/** The gauges of the whole gateway on the admin's /metrics, besides those of its own process. */
import type { Metrics } from "../../shared/runtime/metrics.ts";
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
    "Jobs by queue and state.",
    () => read(() => deps.inspector.counts(), depthSeries),
    ["queue", "state"],
  );
  metrics.gauge(
    "spool_bytes",
    "Octets of the spool's file system: used by the spool, and free.",
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
    "Age of the oldest message to deliver; 0 when there is none.",
    () => (deps.oldestMs() ?? 0) / 1000,
  );
  metrics.gauge("ready", "Whether the gateway accepts, delivers and bounces mail.", async () =>
    (await deps.health()).ready ? 1 : 0,
  );
  metrics.gauge("redis_up", "Whether Redis answers.", async () => {
    const answer = await within(limitMs, async () => deps.redis.ping());
    return answer.kind === "ok" ? 1 : 0;
  });
  metrics.gauge(
    "services",
    "Instances that announce themselves, by service and readiness.",
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
