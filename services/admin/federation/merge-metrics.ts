/** Joins the metrics of several processes into one text in the format of Prometheus 0.0.4. Pure. */

/** What one process answered. */
export interface Exposition {
  /** The value of the label `instance`; absent: its series stay as they are. */
  instance?: string;
  text: string;
}

interface Family {
  /** Of the first process that has it. */
  type: string;
  /** Its lines # HELP and # TYPE. */
  head: string[];
  samples: string[];
}

const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*)(?: (.*))?$/;
const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;

/**
 * Each family once, with the samples of all processes behind its head, as the format requires. During an upgrade two
 * versions may disagree on the type of a metric: the type of the first holds, and the others' samples are left out.
 * Lines that are not of the format are left out.
 */
export function mergeMetrics(expositions: readonly Exposition[]): string {
  const families = new Map<string, Family>();
  for (const { instance, text } of expositions) {
    const label = instance === undefined ? undefined : `instance="${escapeLabel(instance)}"`;
    /** Absent: the samples that follow belong to no family that is kept. */
    let family: Family | undefined;
    let help = "";
    for (const line of text.split("\n")) {
      const [, kind, name = "", rest = ""] = comment.exec(line) ?? [];
      if (kind === "HELP") help = line;
      else if (kind === "TYPE") {
        const known = families.get(name);
        if (known === undefined) {
          const isOfThis = help.startsWith(`# HELP ${name} `);
          family = { type: rest, head: isOfThis ? [help, line] : [line], samples: [] };
          families.set(name, family);
        } else family = known.type === rest ? known : undefined;
      } else if (family !== undefined) {
        const labelled = withLabel(line, label);
        if (labelled !== undefined) family.samples.push(labelled);
      }
    }
  }
  const lines: string[] = [];
  for (const { head, samples } of families.values()) {
    for (const line of head) lines.push(line);
    for (const line of samples) lines.push(line);
  }
  return `${lines.join("\n")}\n`;
}

function withLabel(line: string, label: string | undefined): string | undefined {
  const match = sample.exec(line);
  if (match === null) return undefined;
  if (label === undefined) return line;
  const [, name, labels = "", value] = match;
  return `${name}{${labels === "" ? label : `${labels},${label}`}} ${value}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
