/** Tasks as lines for people. Pure. */
import { age } from "../../../shared/age.ts";
import type { Output } from "../command-line/command.ts";
import { paint, type Style } from "../command-line/paint.ts";
import { type Column, printable } from "../command-line/table.ts";
import type { Task } from "./tasks-api.ts";

const styles: Record<string, Style> = {
  running: "green",
  failed: "red",
  interrupted: "red",
  cancelled: "yellow",
};

export function taskColumns(output: Output, nowMs: number): Column<Task>[] {
  return [
    { title: "TASK", value: ({ id }) => id },
    {
      title: "STATE",
      value: ({ state }) => state,
      style: ({ state }, cell) => (state in styles ? paint(output, styles[state] ?? [], cell) : cell),
    },
    { title: "ACTION", value: ({ action }) => action },
    {
      title: "AGE",
      value: ({ startedAt }) => age(nowMs - Date.parse(startedAt)).split(" ")[0] ?? "",
      align: "right",
    },
    { title: "CHANGED", value: ({ changed }) => String(changed), align: "right" },
    { title: "BY", value: ({ by }) => by, shrinkTo: 5 },
    { title: "MESSAGES", value: ({ selection }) => selectionText(selection), shrinkTo: 10 },
    { title: "REASON", value: ({ reason, error }) => error ?? reason ?? "", shrinkTo: 8 },
  ];
}

export function renderTask(task: Task): string[] {
  const { id, action, selection, via, state, by, reason, startedAt, finishedAt, total, matched, changed } =
    task;
  const of = total === null ? "" : ` of ${total}`;
  const lines = [
    id,
    field("Action", `${action} ${selectionText(selection)}${via === undefined ? "" : ` --via ${via}`}`),
    field("By", by),
    field("State", task.error === null ? state : `${state}: ${task.error}`),
    field("Started", startedAt),
    field("Ended", finishedAt ?? "-"),
    field("Messages", `${matched}${of} looked at, ${changed} changed, ${task.skipped} left as they are`),
  ];
  if (reason !== null) lines.splice(2, 0, field("Reason", reason));
  return lines;
}

/** As the command line selects messages: `--to *@example.com`. */
function selectionText(selection: Task["selection"]): string {
  const { ids, more, filter, file } = selection;
  if (typeof file === "string") return file;
  if (Array.isArray(ids)) return `${ids.join(" ")}${typeof more === "number" ? ` and ${more} more` : ""}`;
  if (typeof filter !== "object" || filter === null) return "--all";
  return Object.entries(filter)
    .map(([name, value]) => `--${name} ${name === "older" ? age(Number(value)) : String(value)}`)
    .join(" ");
}

function field(name: string, value: string): string {
  return `  ${`${name}:`.padEnd(10)} ${printable(value)}`;
}
