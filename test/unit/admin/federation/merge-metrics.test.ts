import assert from "node:assert/strict";
import { test } from "node:test";
import { mergeMetrics } from "../../../../services/admin/federation/merge-metrics.ts";

const of = (value: number) => `# HELP postern_sessions_total Sessions.
# TYPE postern_sessions_total counter
postern_sessions_total{service="ingress"} ${value}

# HELP up_seconds Age.
# TYPE up_seconds gauge
up_seconds ${value}
`;

test("a family stands once, with the samples of all processes, each with its instance", () => {
  const text = mergeMetrics([
    { text: "# HELP own Own.\n# TYPE own gauge\nown 1\n" },
    { instance: "gw1:9025", text: of(1) },
    { instance: "gw2:9025", text: of(2) },
  ]);
  assert.equal(
    text,
    `# HELP own Own.
# TYPE own gauge
own 1
# HELP postern_sessions_total Sessions.
# TYPE postern_sessions_total counter
postern_sessions_total{service="ingress",instance="gw1:9025"} 1
postern_sessions_total{service="ingress",instance="gw2:9025"} 2
# HELP up_seconds Age.
# TYPE up_seconds gauge
up_seconds{instance="gw1:9025"} 1
up_seconds{instance="gw2:9025"} 2
`,
  );
});

test("a metric whose type another version has changed keeps the type of the first", () => {
  const text = mergeMetrics([
    { instance: "a", text: "# TYPE x counter\nx 1\n" },
    { instance: "b", text: "# TYPE x gauge\nx 2\n# TYPE y gauge\ny 3\n" },
  ]);
  assert.equal(text, '# TYPE x counter\nx{instance="a"} 1\n# TYPE y gauge\ny{instance="b"} 3\n');
});

test("label values with braces, quotes and spaces stay as they are; what is not of the format is left out", () => {
  const line = String.raw`x{a="} 1 \"{",b="\\"} 2`;
  const text = mergeMetrics([
    { instance: 'odd"\nname', text: `<html>\nx 1\n# TYPE x gauge\n${line}\nnot a sample at all\n{} 4\n` },
  ]);
  assert.equal(
    text,
    String.raw`# TYPE x gauge
x{a="} 1 \"{",b="\\",instance="odd\"\nname"} 2
`,
  );
});
