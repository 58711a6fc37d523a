/** The counts of the queues as rows: what waits in `dead` is dead, not waiting. Pure. */
import { queueNames } from "../../../shared/queue/contract/contract.ts";
import type { QueueCounts as CountsByQueue } from "../../../shared/queue/operator/inspector.ts";
import type { QueueCounts } from "./schemas.ts";

export function queueRows(counts: CountsByQueue): QueueCounts[] {
  return queueNames.map((name) => {
    const { waiting, active, deferred, held } = counts[name];
    return name === "dead"
      ? { name, waiting: 0, active: 0, deferred: 0, held: 0, dead: waiting + active + deferred + held }
      : { name, waiting, active, deferred, held, dead: 0 };
  });
}
