/** After the last fault: waits until the gateway has done all it can, and records what is left in the queues. */
import { setTimeout as wait } from "node:timers/promises";
import type { Recorder } from "../history/recorder.ts";
import type { AdminApi, QueueRow } from "./admin.ts";

/** Without any change for so long, what waits is stuck. A machine with other work gets its time. */
const withoutProgressMs = 120_000;
/** The queues have to be empty that often in a row: a notification may be on its way from one to the other. */
const emptyTimes = 3;

export async function waitUntilQuiet(admin: AdminApi, recorder: Recorder): Promise<void> {
  let rows: QueueRow[] = [];
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
      empty = moving.length + notifications === 0 ? empty + 1 : 0;
      const now = JSON.stringify([moving.map(({ id, to }) => [id, to]), notifications]);
      if (now !== seen) changedAt = performance.now();
      seen = now;
    } catch {
      empty = 0;
    }
  }
  for (const { id, from, to, status, reason } of rows)
    recorder.record({ kind: "left", id, from, to, status, reason });
}
