/** Holds a history against what the gateway promises (pure): nothing lost, and nothing twice without a cause. */
import type { HistoryEvent } from "../history/events.ts";
import { type Duplicate, duplicatesOf } from "./duplicates.ts";
import { type Fate, fateOf, lacksSuccessReport } from "./fates.ts";
import { timelineOf } from "./timeline.ts";

export interface Judgement {
  /** Messages that got a 250. */
  messages: number;
  recipients: number;
  fates: Record<Fate, number>;
  /** Recipients, and reports of success, that are nowhere. */
  lost: { address: string; from: string; acceptedAt: number; what: string }[];
  duplicates: Duplicate[];
  /** Duplicates without a cause, mail that does not move, and leftovers. */
  unexplained: string[];
}

export function judge(history: readonly HistoryEvent[]): Judgement {
  const timeline = timelineOf(history);
  const fates: Record<Fate, number> = {
    delivered: 0,
    returned: 0,
    returning: 0,
    waiting: 0,
    dead: 0,
    removed: 0,
    "failed unreported": 0,
    lost: 0,
  };
  const lost: Judgement["lost"] = [];
  let recipients = 0;
  for (const message of timeline.accepted) {
    for (const recipient of message.recipients) {
      recipients++;
      const fate = fateOf(recipient, message, timeline);
      fates[fate]++;
      const { address } = recipient;
      const where = { address, from: message.from, acceptedAt: message.at };
      if (fate === "lost") lost.push({ ...where, what: `mail (${message.door})` });
      else if (lacksSuccessReport(recipient, message, timeline))
        lost.push({ ...where, what: "report of success" });
    }
  }
  const duplicates = duplicatesOf(timeline);
  const unexplained = duplicates
    .filter(({ cause }) => cause === undefined)
    .map(({ what, address, at }) => `second ${what} for ${address} at ${Math.round(at)} ms`);
  for (const event of history) {
    if (event.kind === "leftover") unexplained.push(event.what);
    if (event.kind === "left" && event.status !== "dead" && event.status !== "held")
      unexplained.push(`${event.id} is still ${event.status}: ${event.reason ?? "no reason"}`);
  }
  return { messages: timeline.accepted.length, recipients, fates, lost, duplicates, unexplained };
}
