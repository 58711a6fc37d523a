/** Finds everything that is known of a message, an address or a session, as one timeline. The connection is its caller's. */
import { isQueueId } from "../../mail/queue-id.ts";
import { addressWord, type StreamEvent } from "../event.ts";
import {
  concerns,
  messagesOf,
  notificationsOf,
  type Timeline,
  timelineOf,
  type Wanted,
} from "../timeline.ts";
import type { EventReader } from "./event-reader.ts";

/** Of an address, the latest; of a message, more than years of attempts bring. */
const maxFound = 5_000;
/** Messages whose whole timeline is read, for an address. */
const maxMessages = 20;
/** A notification may have one of its own that went to `dead`; nothing is further away. */
const maxDepth = 3;

/** What somebody wants to know about: a queue id (with the number of a recipient group or not), a Message-ID, an address, a session. */
export function parseWanted(text: string): Wanted {
  const queueId = /^([0-9A-HJKMNP-TV-Z]{18,19})(?:-\d+)?$/.exec(text.toUpperCase())?.[1];
  if (queueId !== undefined && isQueueId(queueId)) return { kind: "message", word: queueId };
  // A reverse-path with its brackets is an address, and so is a Message-ID that a person wrote without them.
  if (/^<.*>$/.test(text)) return { kind: "message-id", word: text };
  if (text.includes("@")) return { kind: "address", word: addressWord(text) };
  return { kind: "session", word: text };
}

/** @param limit  of messages, for an address or a Message-ID; the latest */
export async function findTrace(
  reader: EventReader,
  wanted: Wanted,
  limit: number = maxMessages,
): Promise<Timeline> {
  const own = await findConcerning(reader, wanted.word);
  const found = own.length === 0 && wanted.kind === "message-id" ? await findBracketed(reader, wanted) : own;
  const ids = messagesOf(found, wanted);
  const shown = ids.slice(-limit);
  const events = new Map<string, StreamEvent>();
  for (const event of found)
    if (event.id === undefined || shown.includes(event.id)) events.set(event.eventId, event);
  const isWhole = wanted.kind === "message";
  await addMessages(reader, shown, events, isWhole ? found : undefined);
  await addSessions(reader, events);
  return timelineOf([...events.values()], shown, ids.length - shown.length);
}

/** `<bob@example.com>` may be a Message-ID, or an address in brackets. */
function findBracketed(reader: EventReader, { word }: Wanted): Promise<StreamEvent[]> {
  return findConcerning(reader, addressWord(word.slice(1, -1)));
}

async function findConcerning(reader: EventReader, word: string): Promise<StreamEvent[]> {
  return (await reader.find(word, maxFound)).filter((event) => concerns(event, word));
}

/** The events of messages, and of the notifications about them. @param first  those of the only message, if they are known */
async function addMessages(
  reader: EventReader,
  ids: readonly string[],
  events: Map<string, StreamEvent>,
  first?: readonly StreamEvent[],
): Promise<void> {
  const known = new Set(ids);
  let next = [...ids];
  for (let depth = 0; depth < maxDepth && next.length > 0; depth++) {
    const asked =
      depth === 0 && first !== undefined ? [first] : next.map((word) => findConcerning(reader, word));
    const found = (await Promise.all(asked)).flat();
    for (const event of found) events.set(event.eventId, event);
    next = notificationsOf(found, new Set(next)).filter((dsnId) => !known.has(dsnId));
    for (const dsnId of next) known.add(dsnId);
  }
}

/** How the sessions were classified by which the messages came. */
async function addSessions(reader: EventReader, events: Map<string, StreamEvent>): Promise<void> {
  const sessions = new Set<string>();
  for (const { session } of events.values()) if (typeof session === "string") sessions.add(session);
  const found = await Promise.all([...sessions].map((session) => reader.find(session, maxFound)));
  for (const event of found.flat())
    if (event.event === "session.classified" && sessions.has(String(event.session)))
      events.set(event.eventId, event);
}
