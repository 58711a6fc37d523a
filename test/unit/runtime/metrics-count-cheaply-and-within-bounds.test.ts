import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../../shared/runtime/metrics.ts";

test("counters, gauges and histograms appear with their labels", async () => {
  const metrics = createMetrics("delivery");
  const outcomes = metrics.counter("deliveries_total", "Recipients by outcome.", ["outcome", "class"]);
  outcomes.with("delivered", "none").add();
  outcomes.with("deferred", "4xx").add(3);
  metrics.counter("plain_total", "Without labels.").with().add(2);
  metrics.histogram("attempt_seconds", "Time of an attempt.", [0.1, 1], ["row"]).with("relay").observe(0.5);
  metrics.gauge("backlog", "Messages to enqueue.", () => 7);
  metrics.gauge("jobs", "Jobs.", () => new Map([["delivery\twaiting", 4]]), ["queue", "status"]);
  const text = await metrics.text();
  for (const line of [
    'postern_deliveries_total{outcome="delivered",class="none",service="delivery"} 1',
    'postern_deliveries_total{outcome="deferred",class="4xx",service="delivery"} 3',
    'postern_plain_total{service="delivery"} 2',
    'postern_backlog{service="delivery"} 7',
    'postern_jobs{queue="delivery",status="waiting",service="delivery"} 4',
  ]) {
    assert.ok(text.includes(line), `${line}\n${text.slice(0, 4_000)}`);
  }
  assert.equal(
    (await metrics.text()).match(/outcome="deferred".* 3/g)?.length,
    1,
    "asking twice counts once",
  );
});

test("a histogram counts each value in all buckets that hold it", async () => {
  const metrics = createMetrics("delivery");
  const seconds = metrics.histogram("step_seconds", "Time of a step.", [0.1, 1], ["step"]);
  for (const value of [0.05, 0.1, 0.5, 7, Number.NaN]) seconds.with("mail").observe(value);
  seconds.with("never");
  metrics.histogram("plain_seconds", "Without labels.", [1]).with();
  const lines = (await metrics.text()).split("\n").filter((line) => /(step|plain)_seconds/.test(line));
  assert.deepEqual(lines, [
    "# HELP postern_step_seconds Time of a step.",
    "# TYPE postern_step_seconds histogram",
    'postern_step_seconds_bucket{le="0.1",service="delivery",step="mail"} 2',
    'postern_step_seconds_bucket{le="1",service="delivery",step="mail"} 3',
    'postern_step_seconds_bucket{le="+Inf",service="delivery",step="mail"} 4',
    'postern_step_seconds_sum{service="delivery",step="mail"} 7.65',
    'postern_step_seconds_count{service="delivery",step="mail"} 4',
    "# HELP postern_plain_seconds Without labels.",
    "# TYPE postern_plain_seconds histogram",
    'postern_plain_seconds_bucket{le="1",service="delivery"} 0',
    'postern_plain_seconds_bucket{le="+Inf",service="delivery"} 0',
    'postern_plain_seconds_sum{service="delivery"} 0',
    'postern_plain_seconds_count{service="delivery"} 0',
  ]);
});

test("label values from outside cannot fill the memory", async () => {
  const metrics = createMetrics("delivery");
  const domains = metrics.counter("domains_total", "By domain.", ["domain"]);
  for (let i = 0; i < 3_000; i++) domains.with(`d${i}.example`).add();
  const text = await metrics.text();
  assert.equal(text.match(/postern_domains_total\{/g)?.length, 1_001);
  assert.ok(text.includes('postern_domains_total{domain="other",service="delivery"} 2000'));
});
