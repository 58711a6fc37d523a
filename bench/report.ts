/** Figures of paired runs: medians, and the ratio pair by pair. Pure. */

export interface Pair {
  ours: number;
  theirs: number;
}

export interface Row {
  name: string;
  unit: string;
  pairs: Pair[];
  /** The ratio ours/theirs that we aim at; absent: for information. */
  target?: number;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** A Markdown table: the median of each side, and the median and range of the ratios. */
export function markdownTable(rows: Row[], ours: string, theirs: string): string {
  const lines = [
    `| measurement | ${ours} | ${theirs} | ratio (median) | ratio (range) | target |`,
    "| --- | ---: | ---: | ---: | ---: | ---: |",
  ];
  for (const row of rows) {
    const ratios = row.pairs.map((pair) => pair.ours / pair.theirs);
    const figure = (values: number[]) => `${Math.round(median(values))} ${row.unit}`;
    const range = `${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`;
    lines.push(
      `| ${row.name} | ${figure(row.pairs.map((pair) => pair.ours))} | ${figure(row.pairs.map((pair) => pair.theirs))} | ${median(ratios).toFixed(2)} | ${range} | ${row.target ?? ""} |`,
    );
  }
  return `${lines.join("\n")}\n`;
}
