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
  "message.rerouted",
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

/** The stored form: JSON, without the fields that have no value. @param json  of the fields, where it has been made */
export function encodeEvent(fields: EventFields, atMs: number, json?: string): string {
  const start = `{"version":1,"at":${atMs},`;
  // A replacer costs more than all the rest: most events need none.
  if (fields.err === undefined) {
    const text = start + (json ?? JSON.stringify(fields)).slice(1);
    if (text.length <= maxText) return text;
  }
  const event = { version: 1, at: atMs, ...fields };
  const clipped = JSON.stringify(event, storable);
  if (clipped.length <= maxOctets) return clipped;
  return JSON.stringify({ ...event, isCut: true }, (name, value) =>
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
  return version === 1 && isTime(at) && typeof event === "string" ? (value as StoredEvent) : undefined;
}

/** Epoch milliseconds that a date can show (ECMA-262 §21.4.1.1): others would fail whoever shows the event. */
function isTime(value: unknown): boolean {
  return typeof value === "number" && Math.abs(value) <= 8.64e15;
}

/** More than any message may have recipients by default. */
const maxWords = 2_000;

/**
 * What finds an event: queue ids, addresses (in lower case) and the Message-ID field. A session's id finds what has no
 * queue id. The sender of a message finds its acceptance only. A word may be there twice.
 */
export function wordsOf(fields: Record<string, unknown>): string[] {
  const { event, id, session, from, to } = fields;
  const words: string[] = [];
  add(words, id ?? session);
  addAddresses(words, to);
  switch (event) {
    case "message.accepted":
      add(words, fields.messageId);
      addAddresses(words, from);
      break;
    case "message.refused":
      addAddresses(words, from);
      break;
    case "dsn.made":
      add(words, fields.dsnId);
      break;
    case "proxy.transaction":
      addProxied(words, fields);
      break;
    // It says what an operator selected, which may be anything.
    case "admin.change":
      break;
    default:
      // Messages that an operator changed.
      if (Array.isArray(fields.ids)) for (const each of fields.ids) add(words, each);
  }
  return words;
}

/** What the server accepted, and what it refused. */
function addProxied(words: string[], { reversePath, accepted, refused }: Record<string, unknown>): void {
  addAddresses(words, reversePath);
  addAddresses(words, (accepted as { addresses?: unknown } | undefined)?.addresses);
  const { recipients } = (refused ?? {}) as { recipients?: unknown };
  if (Array.isArray(recipients)) for (const each of recipients) addAddresses(words, each?.address);
}

function addAddresses(words: string[], value: unknown): void {
  if (Array.isArray(value)) for (const address of value) addAddresses(words, address);
  else if (typeof value === "string") add(words, addressWord(value));
}

function add(words: string[], word: unknown): void {
  if (typeof word === "string" && word !== "" && words.length < maxWords) words.push(word);
}

/** Domains have no case (RFC 5321 §2.4), and nobody gives two people addresses that differ by it. */
export function addressWord(address: string): string {
  return address.toLowerCase();
}
