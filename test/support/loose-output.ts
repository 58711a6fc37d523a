/**
 * Compares what a command printed with what a page says. Ids, times, durations, sizes, ports and the width of columns may
 * differ; words, replies and counts may not. An id is the same wherever the page has the same one. Pure.
 */

const queueId = /\b1M[0-9A-Z]{16}\b/;
/** In this order: what the page may say, and the pattern for what may stand in its place. */
const variable: readonly [RegExp, string][] = [
  [queueId, ""],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/, "\\S+Z"],
  [/\d{4}-\d\d-\d\d/, "\\d{4}-\\d\\d-\\d\\d"],
  [/\d\d:\d\d:\d\d/, "\\d\\d:\\d\\d:\\d\\d"],
  [/127\.0\.0\.1\]?:\d+/, "127\\.0\\.0\\.1\\]?:\\d+"],
  [/\b\d+(?:\.\d+)? ms\b/, "[\\d.]+ ?m?s"],
  [/\b\d+(?:\.\d+)?(?:ms|[smhd])\b/, "\\d[\\d.]*(?:ms|[smhd])"],
  [/\b\d+ octets\b/, "\\d+ octets"],
  [/(?<=^ {2}(?:ok|FAILED) +)[\d.]+/, "[\\d.]+"],
  [/\bgw1\b/, "\\S+"],
  [/(?<=ready +\S+ +)\d+/, "\\d+"],
  [/…/, ".*"],
  [/ +/, " +"],
];
const anyVariable = new RegExp(variable.map(([pattern]) => `(${pattern.source})`).join("|"), "g");

export class KnownIds {
  /** From an id of the page to the one of this run. */
  private readonly actual = new Map<string, string>();

  /** The command of the page, with the ids of this run. @throws Error for an id that no output has shown before */
  inCommand(command: string): string {
    return command.replaceAll(new RegExp(queueId, "g"), (id) => {
      const found = this.actual.get(id);
      if (found === undefined) throw new Error(`no output before this command shows ${id}: ${command}`);
      return found;
    });
  }

  /** Whether the text is the page's output. Ids that are new are known afterwards, when it is. */
  accepts(expected: readonly string[], text: string): boolean {
    const fresh: string[] = [];
    const source = expected
      .map((line) => (line === "…" ? "(?:.*\\n)*?" : `${this.pattern(line, fresh)} *\\n`))
      .join("");
    const match = new RegExp(`^${source}$`).exec(text.endsWith("\n") || text === "" ? text : `${text}\n`);
    if (match === null) return false;
    fresh.forEach((id, at) => {
      const found = match[at + 1];
      if (found !== undefined) this.actual.set(id, found);
    });
    return true;
  }

  /** @param fresh  ids that are captured, in order */
  private pattern(line: string, fresh: string[]): string {
    let source = "";
    let end = 0;
    for (const match of line.matchAll(anyVariable)) {
      source += literally(line.slice(end, match.index));
      const at = match.slice(1).findIndex((group) => group !== undefined);
      source += at === 0 ? this.idPattern(match[0], fresh) : (variable[at]?.[1] ?? "");
      end = match.index + match[0].length;
    }
    return source + literally(line.slice(end));
  }

  private idPattern(id: string, fresh: string[]): string {
    const known = this.actual.get(id);
    if (known !== undefined) return known;
    const before = fresh.indexOf(id);
    if (before >= 0) return `\\${before + 1}`;
    fresh.push(id);
    return "(1M[0-9A-Z]{16})";
  }
}

function literally(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
