/** Jobs by queue and status, as the admin answers them. */
import { z } from "zod";

export const queueCounts = z.object({
  name: z.string(),
  waiting: z.number(),
  active: z.number(),
  deferred: z.number(),
  held: z.number(),
  dead: z.number(),
});
export type QueueCounts = z.infer<typeof queueCounts>;

/** Mail by status over all queues. Jobs of `bounce` are notifications that are still to be made, no mail. */
export function mailByStatus(queues: readonly QueueCounts[]): Map<string, number> {
  const byStatus = new Map<string, number>();
  for (const { name, ...counts } of queues) {
    if (name === "bounce") continue;
    for (const [status, count] of Object.entries(counts))
      byStatus.set(status, (byStatus.get(status) ?? 0) + count);
  }
  return byStatus;
}
