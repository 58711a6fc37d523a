/** Holds messages, those too that are in the spool and not in the queues yet. */
import { parseDeliveryJobId } from "../../../shared/queue/contract/contract.ts";
import type { HoldRule } from "../../../shared/queue/holds/rules.ts";
import {
  type ChangeOptions,
  type ChangeReport,
  type HoldTerms,
  holdRuleOf,
  type JobSelection,
  ruleFor,
} from "../../../shared/queue/operator/inspector.ts";
import { allRecipientsSettled } from "../../../shared/spool/recipient-state.ts";
import { SpoolCorrupt } from "../../../shared/spool/spool.ts";
import type { TaskDeps } from "./task-deps.ts";

/** The hold of the same mail that stands. */
export function standingHold({ holds }: TaskDeps, selection: JobSelection): HoldRule | undefined {
  const rule = ruleFor(selection);
  return rule && holds.find(rule);
}

export async function holdMessages(
  deps: TaskDeps,
  selection: JobSelection,
  terms: HoldTerms,
  options: ChangeOptions,
): Promise<ChangeReport & { rule: string | null }> {
  const report = await deps.inspector.hold(selection, terms, options);
  const early: string[] = [];
  for (const id of report.unknown) if (await isInSpool(deps, id)) early.push(id);
  if (early.length === 0) return report;
  const unknown = report.unknown.filter((id) => !early.includes(id));
  const held: string[] = [];
  const skipped = [...report.skipped];
  for (const id of early) {
    const rule = { kind: "message", value: id } as const;
    const standing = deps.holds.find(rule);
    if (standing !== undefined && terms.replace === false) skipped.push({ id, reason: "is held already" });
    else {
      if (!options.dryRun) await deps.holds.add([holdRuleOf(rule, terms, standing)]);
      held.push(id);
    }
  }
  if (held.length > 0 && !options.dryRun) options.changed?.(held.map(messageOf));
  const [matched, changed] = [report.matched + early.length, report.changed + held.length];
  return { ...report, matched, changed, skipped, unknown };
}

/** Whether the spool has a message with this queue id, or job id, of which something is not settled. */
export async function isInSpool({ spool }: Pick<TaskDeps, "spool">, id: string): Promise<boolean> {
  if (id.startsWith("<")) return false;
  try {
    const meta = await spool.readMeta(messageOf(id));
    if (meta === undefined) return false;
    const group = parseDeliveryJobId(id)?.group;
    if (group !== undefined && meta.parts[group] === undefined) return false;
    return !allRecipientsSettled(await spool.states(meta.id, true), meta.envelope.recipients.length);
  } catch (error) {
    if (error instanceof SpoolCorrupt) return true;
    throw error;
  }
}

function messageOf(id: string): string {
  return parseDeliveryJobId(id)?.id ?? id;
}
