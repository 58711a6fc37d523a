/** Figures of a run: medians, ratios and differences pair by pair, targets, and a Markdown table of it all. Pure. */

/** The target for the median. */
export type Target =
  /** Ours divided by theirs, pair by pair. */
  | { kind: "ratio-at-least"; value: number }
  | { kind: "ratio-at-most"; value: number }
  /** Ours less theirs, pair by pair. */
  | { kind: "difference-at-most"; value: number }
  | { kind: "at-most"; value: number };

export interface Row {
  name: string;
  unit: string;
  /** One figure a round. */
  ours: number[];
  /** The other side of the same rounds, pair by pair: a peer, or Postern with other settings. */
  theirs?: { name: string; values: number[] };
  target?: Target;
  /** CPU milliseconds a message by process, the mean of the rounds. */
  cpu?: { ours: Record<string, number>; theirs?: Record<string, number> };
}

export interface Section {
  title: string;
  /** What is measured: load, settings, durability. */
  about: string;
  rows: Row[];
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** The figures that are compared with the target, one a round. */
export function compared(row: Row): number[] {
  const { ours, theirs, target } = row;
  if (theirs === undefined || target?.kind === "at-most") return ours;
  const isDifference = target?.kind === "difference-at-most";
  return ours.map((our, round) => {
    const their = theirs.values[round] ?? Number.NaN;
    return isDifference ? our - their : our / their;
  });
}

/** Undefined for a row without a target. */
export function isMet(row: Row): boolean | undefined {
  if (row.target === undefined) return undefined;
  const value = median(compared(row));
  return row.target.kind === "ratio-at-least" ? value >= row.target.value : value <= row.target.value;
}

export function markdown(sections: Section[]): string {
  return sections.map(sectionMarkdown).join("\n");
}

function sectionMarkdown({ title, about, rows }: Section): string {
  const lines = [
    `### ${title}`,
    "",
    about,
    "",
    "| measurement | Postern | beside it | compared (median) | range | target | |",
    "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
  ];
  for (const row of rows) {
    const theirs =
      row.theirs === undefined ? "" : `${row.theirs.name}: ${figure(row.theirs.values, row.unit)}`;
    const values = compared(row);
    const unit =
      row.theirs === undefined || row.target?.kind === "at-most" || row.target?.kind === "difference-at-most"
        ? row.unit
        : "×";
    const range = values.length > 1 ? `${short(Math.min(...values))} – ${short(Math.max(...values))}` : "";
    const verdict = { true: "met", false: "**not met**", undefined: "" }[`${isMet(row)}`];
    lines.push(
      `| ${row.name} | ${figure(row.ours, row.unit)} | ${theirs} | ${short(median(values))} ${unit} | ${range} | ${targetText(row)} | ${verdict} |`,
    );
  }
  const withCpu = rows.filter((row) => row.cpu !== undefined);
  if (withCpu.length > 0) {
    lines.push("", "CPU milliseconds a message, by process:", "");
    for (const { name, cpu } of withCpu) {
      const theirs = cpu?.theirs === undefined ? "" : `; beside it ${cpuText(cpu.theirs)}`;
      lines.push(`- ${name}: ${cpuText(cpu?.ours ?? {})}${theirs}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function figure(values: number[], unit: string): string {
  return `${short(median(values))} ${unit}`;
}

function short(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return value.toFixed(2);
}

function targetText({ target, unit }: Row): string {
  switch (target?.kind) {
    case undefined:
      return "";
    case "ratio-at-least":
      return `≥ ${target.value} ×`;
    case "ratio-at-most":
      return `≤ ${target.value} ×`;
    default:
      return `≤ ${target?.value} ${unit}`;
  }
}

function cpuText(cpu: Record<string, number>): string {
  const parts = Object.entries(cpu).sort(([, a], [, b]) => b - a);
  const all = parts.reduce((sum, [, value]) => sum + value, 0);
  return `${all.toFixed(2)} (${parts.map(([name, value]) => `${name} ${value.toFixed(2)}`).join(", ")})`;
}
