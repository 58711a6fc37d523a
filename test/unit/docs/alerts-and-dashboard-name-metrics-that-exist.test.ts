/** deploy/prometheus and deploy/grafana ask for metrics and labels that the services have; promtool checks the rules. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parse } from "yaml";
import { registeredMetrics } from "../../../scripts/metrics-page.ts";
import { createMetrics } from "../../../shared/runtime/metrics.ts";
import { unlessInstalled } from "../../support/programs.ts";
import { namedInQuery } from "../../support/promql.ts";

const root = new URL("../../../", import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, root), "utf8");

/** Labels of each series by its name, as Prometheus stores it. */
const series = new Map<string, Set<string>>();
for (const { name, type, labels } of Object.values(registeredMetrics()).flat()) {
  const names = type === "histogram" ? ["_bucket", "_sum", "_count"].map((end) => name + end) : [name];
  for (const each of names) {
    const le = each.endsWith("_bucket") && type === "histogram" ? ["le"] : [];
    series.set(each, new Set([...labels, ...le, "service", "instance", "job"]));
  }
}
for (const [, name = ""] of (await createMetrics("any").text()).matchAll(/^# TYPE (\w+)/gm)) {
  series.set(name, new Set(["service", "instance", "job"]));
}

function check(expression: string, where: string, legend = ""): void {
  const { metrics, grouping } = namedInQuery(expression);
  assert.ok(metrics.length > 0, `${where}: ${expression}`);
  const known = new Set<string>();
  for (const { name, labels } of metrics) {
    const has = series.get(name);
    assert.ok(has !== undefined, `${where}: there is no metric ${name}`);
    for (const label of labels) assert.ok(has.has(label), `${where}: ${name} has no label ${label}`);
    for (const label of has) known.add(label);
  }
  for (const label of grouping) assert.ok(known.has(label), `${where}: no label ${label} to group by`);
  const shown = grouping.length > 0 ? new Set(grouping) : known;
  for (const [, label = ""] of legend.matchAll(/\{\{(\w+)\}\}/g)) {
    assert.ok(shown.has(label), `${where}: the legend has no label ${label}`);
  }
}

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string; runbook: string };
}
const { groups } = parse(read("deploy/prometheus/alerts.yaml")) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap(({ rules }) => rules);

test("there are alert rules", () => assert.ok(rules.length > 15));

for (const { alert, expr, labels, annotations } of rules) {
  test(`${alert} asks for metrics that exist, and says what to do`, () => {
    check(expr, alert);
    assert.ok(["page", "ticket"].includes(labels.severity));
    assert.match(annotations.summary, /\.$/);
    assert.match(annotations.runbook, /\.$/);
  });
}

test("each alert has a test, and none when all is well", () => {
  const tests = parse(read("deploy/prometheus/alerts.test.yaml")) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const asked = tests.tests.flatMap(({ alert_rule_test }) => alert_rule_test);
  for (const { alert } of rules) {
    const counts = asked.filter(({ alertname }) => alertname === alert).map((each) => each.exp_alerts.length);
    assert.deepEqual([Math.min(...counts), Math.max(...counts)], [0, 1], alert);
  }
});

const skip = unlessInstalled("promtool");

for (const words of [
  ["check", "rules", "deploy/prometheus/alerts.yaml"],
  ["check", "config", "deploy/prometheus/prometheus.yaml"],
  ["test", "rules", "deploy/prometheus/alerts.test.yaml"],
]) {
  test(`promtool ${words.join(" ")}`, { skip }, () => {
    const { status, stdout, stderr } = spawnSync("promtool", words, { cwd: root, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  });
}

test("names and helps are as Prometheus wants them", { skip }, async () => {
  const metrics = createMetrics("any");
  for (const { name, type, help, labels } of new Set(Object.values(registeredMetrics()).flat())) {
    if (metrics.families().some((known) => known.name === name)) continue;
    const own = name.slice("postern_".length);
    if (type === "counter")
      metrics
        .counter(own, help, labels)
        .with(...labels)
        .add();
    else if (type === "gauge") metrics.gauge(own, help, () => new Map([[labels.join("\t"), 1]]), labels);
    else
      metrics
        .histogram(own, help, [1], labels)
        .with(...labels)
        .observe(1);
  }
  const input = (await metrics.text())
    .split("\n")
    .filter((line) => /postern_/.test(line))
    .join("\n");
  const { stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
    input: `${input}\n`,
    encoding: "utf8",
  });
  // The names of old keep their unit for a release.
  const found = (stdout + stderr).split("\n").filter((line) => line !== "");
  assert.deepEqual(found, []);
});

interface Panel {
  type: string;
  title: string;
  description?: string;
  targets?: { expr: string; legendFormat: string }[];
}
const dashboard = JSON.parse(read("deploy/grafana/postern.json")) as {
  panels: Panel[];
  templating: { list: { name: string; query: unknown }[] };
  annotations: { list: { expr: string }[] };
};

for (const panel of dashboard.panels.filter(({ type }) => type !== "row")) {
  test(`the panel "${panel.title}" shows metrics that exist`, () => {
    assert.ok(panel.description, "it says what it shows");
    assert.ok((panel.targets ?? []).length > 0);
    for (const { expr, legendFormat } of panel.targets ?? []) check(expr, panel.title, legendFormat);
  });
}

test("variables and annotations of the dashboard ask for metrics that exist", () => {
  check("process_start_time_seconds", "a check of the check");
  for (const { expr } of dashboard.annotations.list) check(expr, "annotation");
  const variables = JSON.stringify(dashboard.templating);
  for (const [, name = ""] of variables.matchAll(/label_values\((\w+),/g)) assert.ok(series.has(name), name);
});

test("a metric or label that does not exist is found", () => {
  assert.throws(() => check("rate(postern_session_total[5m])", "x"), /no metric postern_session_total/);
  assert.throws(() => check('postern_queue_jobs{status="dead"}', "x"), /no label status/);
  assert.throws(() => check("sum by (domain) (postern_queue_jobs)", "x"), /no label domain/);
  assert.throws(() => check("sum by (queue) (postern_queue_jobs)", "x", "{{state}}"), /legend has no label/);
});
