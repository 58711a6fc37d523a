/** One page of metrics and one health for several workers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { healthOfWorkers } from "../../../services/cli/processes/worker-health.ts";
import { createMetrics, type MetricValues } from "../../../shared/runtime/metrics.ts";
import { endedTotals, metricsPage } from "../../../shared/runtime/worker-metrics.ts";

/** What a worker answers that has counted so much. */
async function worker(count: number, seconds: number): Promise<MetricValues[]> {
  const metrics = createMetrics("ingress", false);
  metrics.counter("mails_total", "Mails.", ["row"]).with("relay").add(count);
  metrics.histogram("mail_seconds", "Time.", [1, 10]).with().observe(seconds);
  metrics.gauge("open", "Open.", () => count);
  metrics.gauge("pressure", "Pressure.", () => (count > 2 ? 1 : 0), [], "max");
  metrics.gauge("broken", "No number.", () => Number.NaN);
  metrics.counted("busy_seconds_total", "Busy.", () => count / 10, [], "each");
  // As the IPC channel carries them.
  return JSON.parse(JSON.stringify(await metrics.values()));
}

const samples = (page: string) =>
  page
    .split("\n")
    .filter((line) => /^\w/.test(line))
    .toSorted();

test("counts and times are added up, pressure is that of the worst, and each process has its own series", async () => {
  const page = await metricsPage(
    [
      { worker: 1, metrics: await worker(2, 0.5) },
      { worker: 2, metrics: await worker(3, 5) },
    ],
    [],
    await createMetrics("ingress", false).values(),
  );
  assert.deepEqual(samples(page), [
    'postern_busy_seconds_total{service="ingress",worker="1"} 0.2',
    'postern_busy_seconds_total{service="ingress",worker="2"} 0.3',
    'postern_mail_seconds_bucket{le="+Inf",service="ingress"} 2',
    'postern_mail_seconds_bucket{le="1",service="ingress"} 1',
    'postern_mail_seconds_bucket{le="10",service="ingress"} 2',
    'postern_mail_seconds_count{service="ingress"} 2',
    'postern_mail_seconds_sum{service="ingress"} 5.5',
    'postern_mails_total{row="relay",service="ingress"} 5',
    'postern_open{service="ingress"} 5',
    'postern_pressure{service="ingress"} 1',
  ]);
  assert.match(page, /^# HELP postern_mails_total Mails\.\n# TYPE postern_mails_total counter$/m);
});

test("what workers have counted that have ended stays in the sums, and what they held does not", async () => {
  const ended = await endedTotals(await endedTotals([], await worker(2, 0.5)), await worker(3, 5));
  const page = await metricsPage([{ worker: 1, metrics: await worker(10, 0.5) }], ended, []);
  assert.deepEqual(
    samples(page).filter((line) => /mails|count|open|busy/.test(line)),
    [
      'postern_busy_seconds_total{service="ingress",worker="1"} 1',
      'postern_mail_seconds_count{service="ingress"} 3',
      'postern_mails_total{row="relay",service="ingress"} 15',
      'postern_open{service="ingress"} 10',
    ],
  );
});

test("a worker that is ending still counts, and its successor has its number", async () => {
  const page = await metricsPage(
    [
      { worker: 1, metrics: await worker(1, 1) },
      { worker: undefined, metrics: await worker(4, 1) },
    ],
    [],
    [],
  );
  assert.deepEqual(
    samples(page).filter((line) => /mails|open|busy/.test(line)),
    [
      'postern_busy_seconds_total{service="ingress",worker="1"} 0.1',
      'postern_mails_total{row="relay",service="ingress"} 5',
      'postern_open{service="ingress"} 5',
    ],
  );
});

const well = { ready: true, reasons: [] };
const ill = { ready: false, reasons: ["the disk fails"] };

test("a service is ready while one of its workers is, and says what is wrong with the others", () => {
  const health = healthOfWorkers([
    { worker: 1, pid: 11, health: { ...well, warnings: ["a file is old"] } },
    { worker: 2, pid: 12, health: ill },
    { worker: 3, pid: undefined, health: undefined },
    { worker: 4, pid: 14, health: undefined },
  ]);
  assert.deepEqual(health, {
    ready: true,
    reasons: [],
    warnings: [
      "a file is old",
      "worker 2 of 4 (pid 12) is not ready: the disk fails",
      "worker 3 of 4 is being started",
      "worker 4 of 4 (pid 14) is not ready: the health check does not answer",
    ],
    workers: [
      { pid: 11, ready: true, reasons: [], warnings: ["a file is old"] },
      { pid: 12, ready: false, reasons: ["the disk fails"], warnings: [] },
      { pid: 14, ready: false, reasons: ["the health check does not answer"], warnings: [] },
    ],
  });
});

test("a service without a ready worker has the reasons of all, each once", () => {
  const { ready, reasons, warnings } = healthOfWorkers([
    { worker: 1, pid: 11, health: ill },
    { worker: 2, pid: 12, health: ill },
    { worker: 3, pid: undefined, health: undefined },
  ]);
  assert.deepEqual(
    { ready, reasons, warnings },
    {
      ready: false,
      reasons: ["the disk fails", "is being started"],
      warnings: undefined,
    },
  );
});
