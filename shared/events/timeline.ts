/** A timeline: the events of one or several messages in order. Pure. */
import { type StreamEvent, wordsOf } from "./event.ts";

/** What somebody asks about. `word`: as wordsOf() has it. */
export interface Wanted {
  kind: "message" | "message-id" | "address" | "session";
  word: string;
}

export interface Timeline {
  /** Queue ids of the messages that were asked for, oldest first; notifications about them are not listed. */
  messages: string[];
  /** How many more messages there are; those listed are the latest. */
  more: number;
  /** Oldest first. */
  events: StreamEvent[];
}

/** Whether a word finds this event: the index goes by fingerprints, and may have found another. */
export function concerns(event: StreamEvent, word: string): boolean {
  return event.isCut === true || wordsOf(event).includes(word);
}

/** The queue ids in events, oldest first. A notification about one of the messages stands in its timeline. */
export function messagesOf(events: readonly StreamEvent[], { kind, word }: Wanted): string[] {
  if (kind === "message") return events.length === 0 ? [] : [word];
  const ids = new Set<string>();
  for (const { id } of events) if (id !== undefined) ids.add(id);
  for (const dsnId of notificationsOf(events, ids)) ids.delete(dsnId);
  return [...ids];
}

/** The queue ids of notifications about these messages. */
export function notificationsOf(events: readonly StreamEvent[], ids: ReadonlySet<string>): string[] {
  return events.flatMap(({ event, id, dsnId }) =>
    event === "dsn.made" && id !== undefined && ids.has(id) && typeof dsnId === "string" ? [dsnId] : [],
  );
}

/** In the order of time; each once, though a batch that was repeated may be there twice. */
export function timelineOf(events: readonly StreamEvent[], messages: string[], more: number): Timeline {
  const seen = new Set<string>();
  const once = events.filter(({ eventId: _, ...facts }) => {
    const text = JSON.stringify(facts);
    return !seen.has(text) && seen.add(text) !== undefined;
  });
  return { messages, more, events: once.sort(byTime) };
}

/** Events of one process and millisecond are in the order of the stream. */
function byTime(a: StreamEvent, b: StreamEvent): number {
  return a.at - b.at || compareIds(a.eventId, b.eventId);
}

function compareIds(a: string, b: string): number {
  const [aMs = 0, aSeq = 0] = a.split("-").map(Number);
  const [bMs = 0, bSeq = 0] = b.split("-").map(Number);
  return aMs - bMs || aSeq - bSeq;
}
