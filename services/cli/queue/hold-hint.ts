/** Says how to release mail that a retry left held. */
import type { Context } from "../command-line/command.ts";
import { printable } from "../command-line/table.ts";
import type { Report } from "./queue-api.ts";

export function printHoldHint({ stderr }: Pick<Context, "stderr">, { skipped }: Report): void {
  const rules = new Set<string>();
  const single: string[] = [];
  for (const { id, reason } of skipped) {
    const rule = /^is held by (\S+): /.exec(reason)?.[1];
    if (rule === undefined && !reason.startsWith("is held:")) continue;
    if (rule === undefined || rule.startsWith("message:")) single.push(id);
    else rules.add(rule);
  }
  for (const rule of rules)
    stderr.write(`held mail is not retried; to release it: postern queue release --hold ${quoted(rule)}\n`);
  const [first] = single;
  if (first === undefined) return;
  const ids = single.length > 3 ? "--status held" : single.join(" ");
  stderr.write(`held mail is not retried; to release it: postern queue release ${printable(ids)}\n`);
}

function quoted(text: string): string {
  return /^[\w.:@+-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", "'\\''")}'`;
}
