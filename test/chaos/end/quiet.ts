/** After the last fault: waits until the gateway has done all it can, and records what is left in the queues and the spool. */
import { setTimeout as wait } from "node:timers/promises";
import { createFsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import { isSettled } from "../../../shared/spool/recipient-state.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import type { Recorder } from "../history/recorder.ts";
import type { AdminApi, QueueRow } from "./admin.ts";

/** Without any change for so long, what waits is stuck. A machine with other work gets its time. */
const withoutProgressMs = 180_000;
/** The queues have to be empty that often in a row: a notification may be on its way from one to the other. */
const emptyTimes = 3;

/** A message in the spool with a recipient that is not settled. */
interface Unsettled {
  id: string;
  from: string;
  to: string[];
}

/** @param directory  the spool, which tells what the queues lack */
export async function waitUntilQuiet(admin: AdminApi, directory: string, recorder: Recorder): Promise<void> {
  const spool = createFsSpool({ directory });
  let rows: QueueRow[] = [];
  let forgotten: Unsettled[] = [];
  let seen = "";
  let changedAt = performance.now();
  let empty = 0;
  while (empty < emptyTimes && performance.now() - changedAt < withoutProgressMs) {
    await wait(500);
    try {
      await admin.change("release", { all: true });
      await admin.change("retry", { all: true });
      rows = await admin.rows();
      const moving = rows.filter(({ status }) => status !== "dead");
      const notifications = await admin.pendingNotifications();
      const known = new Set(rows.map(({ id }) => messageOf(id)));
      // Redis may have lost what the gateway is about to put back from the spool.
      forgotten = (await unsettledIn(spool)).filter(({ id }) => !known.has(id));
      empty = moving.length + notifications + forgotten.length === 0 ? empty + 1 : 0;
      const now = JSON.stringify([moving.map(({ id, to }) => [id, to]), notifications, forgotten]);
      if (now !== seen) changedAt = performance.now();
      seen = now;
    } catch {
      empty = 0;
    }
  }
  await spool.close();
  for (const { id, from, to, status, reason } of rows)
    recorder.record({ kind: "left", id, from, to, status, reason });
  for (const { id, from, to } of forgotten)
    recorder.record({
      kind: "left",
      id,
      from,
      to,
      status: "waiting",
      reason: "in the spool and in no queue",
    });
}

async function unsettledIn(spool: Spool): Promise<Unsettled[]> {
  const found: Unsettled[] = [];
  const onUnreadable = ({ id }: { id: string }): void => void found.push({ id, from: "", to: [] });
  for await (const { meta, states } of spool.unsettled({ onUnreadable })) {
    const { reversePath, recipients } = meta.envelope;
    const to = recipients.flatMap(({ address }, index) => {
      const state = states.get(index);
      return state !== undefined && isSettled(state) ? [] : [address];
    });
    found.push({ id: meta.id, from: reversePath, to });
  }
  return found;
}

/** The queue id in a job's id. */
function messageOf(jobId: string): string {
  return jobId.replace(/-\d+$/, "");
}
