/**
 * The text of a status log (pure). A batch is the content of one write:
 *
 *     =<timestamp, base 36> <octets of the lines> <CRC-32 of timestamp and lines, hex>\n
 *     <id> <state><recipients>[ <diagnosis, delay or success as JSON>]\n
 *     …
 *
 * States: p pending, l pending with a warning of the delay to be sent, w pending with the warning sent, v pending by the
 * next hop that follows as JSON, d delivered, b bounced, r removed, f failed, x dead. Recipients: `0`, `0,3`, `0-99,105`.
 * A batch counts as a whole or not at all: a line damaged into another valid one would lose mail, while a lost
 * settlement only delivers twice.
 */
import { crc32 } from "node:zlib";
import { unreachable } from "../../unreachable.ts";
import type { RecipientState, StatusEntry } from "../recipient-state.ts";
import type { Settlement } from "../spool.ts";

const pending: RecipientState = { kind: "pending" };
const warned: RecipientState = { kind: "pending", warned: true };
const delivered: RecipientState = { kind: "delivered" };
const bounced: RecipientState = { kind: "bounced" };
const removed: RecipientState = { kind: "removed" };

export function formatLine({ id, recipients, state }: Settlement): string {
  return `${id} ${formatState(state, formatRecipients(recipients))}\n`;
}

function formatState(state: RecipientState, recipients: string): string {
  switch (state.kind) {
    case "pending":
      if (state.via !== undefined) return `v${recipients} ${JSON.stringify(state.via)}`;
      if (state.delay !== undefined) return `l${recipients} ${JSON.stringify(state.delay)}`;
      return `${state.warned === true ? "w" : "p"}${recipients}`;
    case "delivered":
      return state.success === undefined
        ? `d${recipients}`
        : `d${recipients} ${JSON.stringify(state.success)}`;
    case "bounced":
      return `b${recipients}`;
    case "removed":
      return `r${recipients}`;
    case "failed":
      return `f${recipients} ${JSON.stringify(state.diagnosis)}`;
    case "dead":
      return `x${recipients} ${JSON.stringify({ diagnosis: state.diagnosis, atMs: state.atMs })}`;
    default:
      return unreachable(state);
  }
}

export function formatBatch(timestamp: number, lines: string): Buffer {
  const text = Buffer.from(lines);
  const digits = timestamp.toString(36);
  const head = `=${digits} ${text.length} ${crc32(text, crc32(digits)).toString(16)}\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), text]);
}

/** Consecutive indexes become ranges: a message to a thousand recipients is often settled at once. */
export function formatRecipients(recipients: readonly number[]): string {
  const only = recipients.length === 1 ? recipients[0] : undefined;
  if (only !== undefined) return String(only);
  const sorted = [...new Set(recipients)].sort((a, b) => a - b);
  const ranges: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end++;
    ranges.push(end === i ? `${sorted[i]}` : `${sorted[i]}-${sorted[end]}`);
    i = end + 1;
  }
  return ranges.join(",");
}

export function parseRecipients(text: string): number[] {
  const recipients: number[] = [];
  if (text === "") return recipients;
  for (const range of text.split(",")) {
    const dash = range.indexOf("-");
    const first = Number(dash === -1 ? range : range.slice(0, dash));
    const last = dash === -1 ? first : Number(range.slice(dash + 1));
    for (let i = first; i <= last; i++) recipients.push(i);
  }
  return recipients;
}

/** A status entry and the message that it belongs to. */
export interface IndexedEntry {
  id: string;
  entry: StatusEntry;
}

export interface ParsedLog {
  entries: IndexedEntry[];
  /** Octets that were parsed; an incomplete batch begins after them. */
  consumed: number;
  /** Octets that are no batch, relative to the beginning. */
  damaged: { offset: number; length: number }[];
}

const equals = 0x3d;
const newline = 0x0a;
const space = 0x20;
/** `=` and 11 digits of timestamp, 10 of length, 8 of checksum, with room to spare. */
const longestHead = 64;

export function parseLog(bytes: Buffer): ParsedLog {
  const parsed: ParsedLog = { entries: [], consumed: 0, damaged: [] };
  while (parsed.consumed < bytes.length) {
    const at = parsed.consumed;
    const batch = findBatch(bytes, at);
    if (batch.kind === "incomplete") return parsed;
    if (batch.kind === "whole") {
      parsed.consumed = batch.end;
      parseLines(bytes, batch.start, batch.end, batch.timestamp, parsed.entries);
      continue;
    }
    parsed.consumed = Math.min(nextHead(bytes, at), batch.end ?? bytes.length);
    parsed.damaged.push({ offset: at, length: parsed.consumed - at });
  }
  return parsed;
}

type FoundBatch =
  | { kind: "whole"; timestamp: number; start: number; end: number }
  | { kind: "incomplete" }
  /** `end`: its end, if its length is right. */
  | { kind: "damaged"; end?: number };

/** The offset of the next batch, or of the end. */
function nextHead(bytes: Buffer, from: number): number {
  const at = bytes.indexOf("\n=", from, "latin1");
  return at === -1 ? bytes.length : at + 1;
}

function findBatch(bytes: Buffer, at: number): FoundBatch {
  if (bytes[at] !== equals) return { kind: "damaged" };
  const headEnd = bytes.indexOf(newline, at);
  if (headEnd === -1) return bytes.length - at > longestHead ? { kind: "damaged" } : { kind: "incomplete" };
  const head = /^=([0-9a-z]{1,11}) (\d{1,10}) ([0-9a-f]{1,8})$/.exec(bytes.toString("latin1", at, headEnd));
  if (head?.[1] === undefined || head[2] === undefined || head[3] === undefined) return { kind: "damaged" };
  const start = headEnd + 1;
  const end = start + Number(head[2]);
  if (end > bytes.length) {
    // A damaged length must not hide the batches that follow it.
    return nextHead(bytes, headEnd) === bytes.length ? { kind: "incomplete" } : { kind: "damaged" };
  }
  if (crc32(bytes.subarray(start, end), crc32(head[1])) !== Number.parseInt(head[3], 16))
    return bytes[end] === equals ? { kind: "damaged", end } : { kind: "damaged" };
  return { kind: "whole", timestamp: Number.parseInt(head[1], 36), start, end };
}

function parseLines(
  bytes: Buffer,
  start: number,
  end: number,
  timestamp: number,
  entries: IndexedEntry[],
): void {
  // Most lines of a batch say the same about different messages: these share one entry.
  const shared = new Map<string, StatusEntry | undefined>();
  for (let at = start; at < end; ) {
    const idEnd = bytes.indexOf(space, at);
    const lineEnd = bytes.indexOf(newline, at);
    if (idEnd === -1 || lineEnd === -1) return;
    const status = bytes.toString("utf8", idEnd + 1, lineEnd);
    let entry = shared.get(status);
    if (entry === undefined && !shared.has(status)) {
      entry = parseEntry(status, timestamp);
      shared.set(status, entry);
    }
    if (entry !== undefined) entries.push({ id: bytes.toString("latin1", at, idEnd), entry });
    at = lineEnd + 1;
  }
}

/** More indexes than any message has, and few enough to count. */
const recipientList = /^(?:\d{1,7}(?:-\d{1,7})?(?:,\d{1,7}(?:-\d{1,7})?)*)?$/;

/** Undefined for what this version does not know or cannot read: one entry must not hide all others of the log. */
function parseEntry(status: string, timestamp: number): StatusEntry | undefined {
  const spaceAt = status.indexOf(" ");
  const list = status.slice(1, spaceAt === -1 ? undefined : spaceAt);
  if (!recipientList.test(list)) return undefined;
  try {
    const state = parseState(status.charAt(0), spaceAt === -1 ? "" : status.slice(spaceAt + 1));
    return state === undefined ? undefined : { recipients: parseRecipients(list), state, timestamp };
  } catch {
    return undefined;
  }
}

function parseState(letter: string, json: string): RecipientState | undefined {
  switch (letter) {
    case "p":
      return pending;
    case "l":
      return { kind: "pending", delay: JSON.parse(json) };
    case "w":
      return warned;
    case "v":
      return { kind: "pending", via: JSON.parse(json) };
    case "d":
      return json === "" ? delivered : { kind: "delivered", success: JSON.parse(json) };
    case "b":
      return bounced;
    case "r":
      return removed;
    case "f":
      return { kind: "failed", diagnosis: JSON.parse(json) };
    case "x":
      return { kind: "dead", ...JSON.parse(json) };
    default:
      return undefined;
  }
}
