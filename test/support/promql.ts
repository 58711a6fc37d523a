/** What a PromQL expression names: metrics with their labels. Enough for the expressions of deploy/, not a whole parser. */

export interface NamedInQuery {
  metrics: { name: string; labels: string[] }[];
  /** Labels of `by (…)`, `on (…)` and `ignoring (…)`. */
  grouping: string[];
}

const words = new Set([
  ..."sum min max avg count rate increase delta predict_linear histogram_quantile absent changes".split(" "),
  ..."by on ignoring without and or unless offset bool label_values".split(" "),
]);

export function namedInQuery(query: string): NamedInQuery {
  const metrics: NamedInQuery["metrics"] = [];
  const grouping: string[] = [];
  let rest = query.replaceAll(/\b(by|on|ignoring|without)\s*\(([^)]*)\)/g, (_, _word, labels: string) => {
    grouping.push(...labels.split(",").map((label) => label.trim()));
    return " ";
  });
  rest = rest.replaceAll(/\[[^\]]*\]/g, " ");
  const label = /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;
  for (const [, name = "", matchers] of rest.matchAll(/([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"[^"]*")*)\})?/g)) {
    if (words.has(name) && matchers === undefined) continue;
    const labels = [...(matchers ?? "").matchAll(label)].map(([, each = ""]) => each);
    metrics.push({ name, labels });
  }
  return { metrics, grouping };
}
