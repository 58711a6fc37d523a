/** docs/metrics.md, from the metrics that each service registers. A test compares it with the metrics of a running gateway. */
import { createFederation } from "../services/admin/federation/federation.ts";
import { registerGauges } from "../services/admin/gauges.ts";
import { createRequestMetrics } from "../services/admin/request-metrics.ts";
import type { AdminDependencies } from "../services/admin/routes/dependencies.ts";
import { createBounceMetrics } from "../services/bounce/publish.ts";
import { registerWorkerMetrics } from "../services/cli/processes/worker-group-metrics.ts";
import { createDeliveryMetrics, registerUnscheduled } from "../services/delivery/delivery-metrics.ts";
import { createPressureMetrics } from "../services/ingress/admission/admission.ts";
import { createLimitMetrics } from "../services/ingress/connections/client-limits.ts";
import { ConnectionMetrics } from "../services/ingress/connections/connection-metrics.ts";
import { InlineMetrics } from "../services/ingress/inline/inline.ts";
import { SessionMetrics } from "../services/ingress/session/session-metrics.ts";
import { registerEnvelopeMemory } from "../services/ingress/session/session-profile.ts";
import { createEventMetrics } from "../shared/events/stream/event-metrics.ts";
import { createLimiterMetrics } from "../shared/limits/cluster-limiter.ts";
import { createJobMetrics } from "../shared/queue/job-metrics.ts";
import { createPublisherMetrics } from "../shared/queue/publisher-metrics.ts";
import { createMetrics, type MetricFamily, type Metrics } from "../shared/runtime/metrics.ts";
import { registerProcessMetrics } from "../shared/runtime/process-metrics.ts";
import { createSpoolMetrics } from "../shared/runtime/spool-metrics.ts";

const noWorkers = { counts: () => ({ ready: 0, exits: 0 }) };

type Service = "ingress" | "delivery" | "bounce" | "admin";

/** What every service registers. */
function common(metrics: Metrics): void {
  registerProcessMetrics(metrics);
  createSpoolMetrics(metrics);
  createEventMetrics(metrics, () => 0);
}

/** Nothing is read: the metrics are only described. */
const own: Record<Service, (metrics: Metrics) => void> = {
  ingress(metrics) {
    new ConnectionMetrics(metrics);
    createLimitMetrics(() => 0, metrics);
    createPressureMetrics(() => false, metrics);
    new SessionMetrics(metrics);
    new InlineMetrics(metrics);
    registerEnvelopeMemory({ octets: 0 }, metrics);
    createPublisherMetrics(metrics);
    createLimiterMetrics(metrics);
  },
  delivery(metrics) {
    createDeliveryMetrics(metrics);
    createLimiterMetrics(metrics);
    registerUnscheduled(metrics, { left: 0 });
    createJobMetrics(metrics);
  },
  bounce(metrics) {
    createBounceMetrics(metrics);
    createJobMetrics(metrics);
    createPublisherMetrics(metrics);
  },
  admin(metrics) {
    registerGauges(metrics, {} as AdminDependencies);
    createRequestMetrics(metrics);
    createFederation({ metrics, announced: async () => [] });
  },
};

function familiesOf(service: string, register: (metrics: Metrics) => void): readonly MetricFamily[] {
  const metrics = createMetrics(service);
  register(metrics);
  return metrics.families();
}

/** Every metric of Postern's own, by the service that has it. */
export function registeredMetrics(): Record<Service, MetricFamily[]> {
  const every = familiesOf("every", common);
  const all = Object.entries(own).map(([service, register]) => [
    service,
    [...every, ...familiesOf(service, register)],
  ]);
  return Object.fromEntries(all) as Record<Service, MetricFamily[]>;
}

const sections: [title: string, about: string, families: () => readonly MetricFamily[]][] = [
  [
    "Every process",
    "Of the process itself, and of its work on the spool. Node.js' usual metrics are there too: `process_cpu_seconds_total`, `process_resident_memory_bytes`, `nodejs_eventloop_lag_p99_seconds` and others.",
    () => familiesOf("every", common),
  ],
  [
    "ingress",
    "Connections and sessions of clients, what is accepted and refused, the outgoing proxy, inline delivery, and the way into the queue.",
    () => familiesOf("ingress", own.ingress),
  ],
  [
    "delivery",
    "Jobs, attempts and their steps, outcomes of recipients.",
    () => familiesOf("delivery", own.delivery),
  ],
  [
    "A service with several workers",
    "Of `ingress` and `delivery` with `--workers 2` or more. The other metrics of such a service are sums over its workers, which do not go back when one is restarted; memory, processor and event loop are a series for each, with the label `worker`.",
    () => familiesOf("ingress", (metrics) => registerWorkerMetrics(metrics, 0, noWorkers)),
  ],
  ["bounce", "Delivery status notifications.", () => familiesOf("bounce", own.bounce)],
  [
    "admin",
    "The gateway as a whole: queues, spool, services, Redis; and the admin's own requests.",
    () => familiesOf("admin", own.admin),
  ],
];

function rowOf({ name, type, labels, help }: MetricFamily): string {
  const named = labels.map((label) => `\`${label}\``).join(", ");
  return `| \`${name}\` | ${type} | ${named} | ${help.replaceAll("|", "\\|")} |`;
}

export function metricsPage(): string {
  const parts = sections.map(
    ([title, about, families]) => `## ${title}

${about}

| metric | type | labels | meaning, and what to do |
| --- | --- | --- | --- |
${families().map(rowOf).join("\n")}
`,
  );
  return `<!-- Made by \`npm run generate\` from the metrics that the services register. Do not edit. -->
# Metrics

${introduction}
${parts.join("\n")}`;
}

const introduction = `Text for Prometheus at \`/metrics\`, at two kinds of places:

- **The admin** (\`http://127.0.0.1:8025/metrics\`) has the metrics of **all services**: it finds those that have announced
  themselves in Redis, asks all at once, and adds the label \`instance\` (host and port) to what they answer. A service that
  does not answer within 3 s, or with more than 2 MB, is left out, and \`postern_scrape_up\` is 0 for it. More than 100
  processes are too many for this: let Prometheus scrape them one by one. While Redis is away the admin has its own metrics
  only.
- **Each service** has its own, at \`health.address\` and \`health.port\`. Under \`postern up\` ingress has \`health.port\`,
  delivery and bounce the two ports after it; in containers each has the same port, 9025. Without \`health.port\` each takes
  a free port, which only the admin finds. For the admin to reach services on other hosts, \`health.address\` must not be
  the loopback address there.

Who may read: the services answer everybody who reaches them, which by default is this machine; keep it so, or on a network
of your own. The admin asks for its token, as a Bearer token, unless the request comes from this machine: \`authorization\`
in a scrape configuration. Metrics have neither addresses nor domains of mail; labels have the names that you gave to
listeners and relay hosts.

\`deploy/prometheus/prometheus.yaml\` scrapes, \`deploy/prometheus/alerts.yaml\` has alert rules with a sentence each on what
to do, and \`deploy/grafana/postern.json\` is a dashboard; see [operations.md](operations.md#metrics). Scrape the admin with
\`honor_labels: true\`, so that \`instance\` stays that of the service.

Names follow one pattern: \`postern_STAGE_WHAT_UNIT\`, in seconds and bytes, \`_total\` for what only rises. Each stage has
its traffic, errors, times and how full it is. A label \`service\` is in every series. A label with more than 1,000 values
counts further ones as \`other\`.
`;
