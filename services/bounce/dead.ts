/** The jobs for the dead queue of what could be neither delivered nor returned. Pure. */
import type { MessageMeta } from "../../shared/mail/message.ts";
import { type DeadJob, deadFromMessage } from "../../shared/queue/contract/dead-job.ts";
import type { RouteSummary } from "../../shared/routing/route.ts";
import type { Settlement, StoredMessage } from "../../shared/spool/spool.ts";

/** One job for each part of the message that has a dead recipient: put back, it is an ordinary delivery job again. */
export function deadJobs(
  stored: StoredMessage,
  settlements: readonly Settlement[],
  reason: string,
  summarizeRoute: (meta: MessageMeta) => RouteSummary,
): DeadJob[] {
  const byPart = new Map<number, DeadJob>();
  for (const { recipients, state } of settlements) {
    const part = stored.meta.parts.findIndex((indexes) =>
      recipients.some((index) => indexes.includes(index)),
    );
    if (part < 0 || byPart.has(part) || state.kind !== "dead") continue;
    byPart.set(part, deadFromMessage(stored, part, summarizeRoute(stored.meta), state, reason));
  }
  return [...byPart.values()];
}
