/** The events that the stream keeps: their stored form, and the words that find them. Pure. */
import type { EventFields, EventName } from "../runtime/log.ts";

/** An event as it is stored: the fields of its log line, with its time. */
export interface StoredEvent {
  /** Of the stored form. */
  version: 1;
  /** Epoch milliseconds. */
  at: number;
  event: EventName;
  /** The queue id of the message; absent for what concerns a session or several messages. */
  id?: string;
  [field: string]: unknown;
}

/** An event as the stream has it. */
export interface StreamEvent extends StoredEvent {
  /** Its place in the stream: `1764523201123-4`. */
  eventId: string;
}

/**
 * The facts of a message's and of a proxied transaction's life. Others are in the log only: what clients do that leads to
 * no mail could fill the stream.
 */
const recorded: ReadonlySet<EventName> = new Set<EventName>([
  "message.accepted",
  "message.refused",
  "delivery.attempt",
  "delivery.delivered",
  "delivery.deferred",
  "delivery.rejected",
  "dsn.made",
  "dsn.withheld",
  "message.settled",
  "message.dead",
  "message.held",
  "message.released",
  "message.retried",
  "message.removed",
  "message.requeued",
  "proxy.transaction",
  "admin.change",
  "admin.hold",
  "admin.unhold",
  "admin.export",
]);

/**
 * What becomes of an event: it is kept; it is kept as soon as an event of the same session is (`with-session`); or it is in
 * the log only.
 */
export function fateOf({ event, notInspected }: EventFields): "kept" | "with-session" | "log-only" {
  if (recorded.has(event)) return "kept";
  if (event === "session.classified") return "with-session";
  // A session whose dialogue went on under TLS: that it passed is all that is known of its mail.
  if (event === "session.close" && notInspected !== undefined) return "kept";
  return "log-only";
}

/** A long reply, or hundreds of recipients, must not make one event as large as thousands of others. */
const maxText = 1_000;
const maxOctets = 64 * 1024;
const fewEntries = 50;

/** The stored form: JSON, without the fields that have no value. */
export function encodeEvent(fields: EventFields, atMs: number): string {
  const text = JSON.stringify({ version: 1, at: atMs, ...fields }, storable);
  if (text.length <= maxOctets) return text;
  return JSON.stringify({ version: 1, at: atMs, ...fields, isCut: true }, (name, value) =>
    Array.isArray(value) ? value.slice(0, fewEntries) : storable(name, value),
  );
}

function storable(_name: string, value: unknown): unknown {
  if (typeof value === "string") return value.length > maxText ? `${value.slice(0, maxText)}…` : value;
  return value instanceof Error ? value.message : value;
}

/** @returns `undefined` for what is no event, or one of a later version */
export function decodeEvent(text: string): StoredEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { version, at, event } = value as Partial<StoredEvent>;
  return version === 1 && typeof at === "number" && typeof event === "string"
    ? (value as StoredEvent)
    : undefined;
}

/** More than any message may have recipients by default. */
const maxWords = 2_000;

/**
 * What finds an event: queue ids, addresses (in lower case) and the Message-ID field. A session's id finds what has no
 * queue id. The sender of a message finds its acceptance only.
 */
export function wordsOf(fields: Record<string, unknown>): string[] {
  const { event, id, dsnId, ids, session, messageId, from, to, reversePath, accepted, refused } = fields;
  const words = new Set<string>();
  const add = (word: unknown): void => {
    if (typeof word === "string" && word !== "" && words.size < maxWords) words.add(word);
  };
  const addAddresses = (value: unknown): void => {
    for (const address of Array.isArray(value) ? value : [value])
      if (typeof address === "string") add(addressWord(address));
  };
  if (typeof id === "string") add(id);
  else add(session);
  add(dsnId);
  // Of messages that an operator changed; `admin.change` says what was selected, which may be anything.
  if (event !== "admin.change" && Array.isArray(ids)) for (const each of ids) add(each);
  add(messageId);
  addAddresses(to);
  if (event === "message.accepted" || event === "message.refused") addAddresses(from);
  addAddresses(reversePath);
  // Of a proxied transaction: what the server accepted, and what it refused.
  addAddresses((accepted as { addresses?: unknown } | undefined)?.addresses);
  const { recipients } = (refused ?? {}) as { recipients?: unknown };
  if (Array.isArray(recipients)) addAddresses(recipients.map((each) => each?.address));
  return [...words];
}

/** Domains have no case (RFC 5321 §2.4), and nobody gives two people addresses that differ by it. */
export function addressWord(address: string): string {
  return address.toLowerCase();
}
