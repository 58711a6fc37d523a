/** Operators at work meanwhile: they hold, release, retry, remove and requeue mail through the admin API. */
import type { QueueRow } from "../end/admin.ts";
import { recipientDomains } from "../peers/domains.ts";
import type { Random } from "../random.ts";
import type { FaultKindOf, Stage } from "./fault.ts";
import { lasting } from "./pause.ts";

export const operate: FaultKindOf = {
  name: "operator",
  weight: 6,
  needsMs: 3_000,
  async happen(stage, random) {
    const { admin } = stage;
    try {
      const action = random.pick(["hold", "hold-messages", "retry", "remove", "put-back"] as const);
      switch (action) {
        case "hold":
          await holdAndRelease(stage, { filter: { to: `*@${random.pick(recipientDomains)}` } }, random);
          break;
        case "hold-messages": {
          const rows = await some(stage, random, ({ status }) => status !== "dead");
          if (rows.length > 0) await holdAndRelease(stage, { ids: rows.map(({ id }) => id) }, random);
          break;
        }
        case "retry":
          await admin.change("retry", { all: true });
          break;
        case "put-back":
          await admin.change("put-back", { filter: { status: "dead" } });
          break;
        case "remove":
          await remove(stage, random);
          break;
      }
    } catch {
      // The admin, or its Redis, is away: the operator tries something else later.
    }
  },
};

async function holdAndRelease({ admin, ending }: Stage, selection: object, random: Random): Promise<void> {
  try {
    await admin.change("hold", { ...selection, reason: "chaos" });
  } finally {
    // An answer that did not come says nothing about the hold. At its end the run itself releases what is still held.
    do {
      await lasting(random.between(1_000, 10_000), ending);
    } while (!ending.aborted && !(await isDone(admin.change("release", selection))));
  }
}

async function isDone(change: Promise<unknown>): Promise<boolean> {
  return change.then(
    () => true,
    () => false,
  );
}

async function remove(stage: Stage, random: Random): Promise<void> {
  const { admin, recorder } = stage;
  // Notifications and dead mail stay: their removal would say nothing about the mail that they stand for.
  const rows = await some(stage, random, ({ status, from }) => status !== "dead" && from !== "");
  if (rows.length === 0) return;
  const ids = rows.map(({ id }) => id);
  const recipients = (removed: readonly QueueRow[]): string[] => removed.flatMap(({ to }) => to);
  try {
    const report = (await admin.change("remove", { ids, notify: random.chance(0.5) })) as {
      skipped: { id: string }[];
      unknown: string[];
    };
    const kept = new Set([...report.skipped.map(({ id }) => id), ...report.unknown]);
    recorder.record({ kind: "removed", recipients: recipients(rows.filter(({ id }) => !kept.has(id))) });
  } catch (error) {
    recorder.record({ kind: "removed", recipients: recipients(rows), unclear: true });
    throw error;
  }
}

async function some(
  { admin }: Stage,
  random: Random,
  isWanted: (row: QueueRow) => boolean,
): Promise<QueueRow[]> {
  const rows = (await admin.rows()).filter(isWanted);
  return rows.filter(() => random.chance(3 / Math.max(1, rows.length))).slice(0, 5);
}
