/**
 * Joins the unsettled messages of several objects into one. Nothing is removed here: the caller removes the sources later.
 * A process that is suspended in between spoils nothing, see compactedKey().
 */
import { crc32 } from "node:zlib";
import { BatchLayout, type PlacelessRecord } from "../../records/batch.ts";
import { locatorOf } from "../../records/parse-record.ts";
import { bodyOffset, makeHead } from "../../records/record.ts";
import type { ScannedRecord } from "../../records/window.ts";
import type { StateIndex } from "../../state-index.ts";
import type { MessageIndex } from "../messages/message-index.ts";
import { compactedKey, compactionCounts, type WriterName } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface CompactionOptions {
  store: ObjectStore;
  writer: WriterName;
  index: StateIndex;
  messages: MessageIndex;
  monotonicMs: () => number;
}

export interface Compaction {
  moved: number;
  /** Sources of which every unsettled message is in a joined object. */
  emptied: string[];
}

/** A compaction that took longer is given up before it writes: it would hardly count. */
const longestMs = 20_000;

/**
 * @param keys  of the objects to be joined
 * @throws StoreFailure
 */
export async function compact(
  { store, writer, index, messages, monotonicMs }: CompactionOptions,
  keys: readonly string[],
): Promise<Compaction> {
  const none: Compaction = { moved: 0, emptied: [] };
  // Before anything is read: what is gone by then is not copied.
  const begunMs = store.clockMs();
  const startedMs = monotonicMs();
  if (begunMs === undefined) return none;
  const records: PlacelessRecord[] = [];
  const emptied: string[] = [];
  for (const key of keys) {
    const segment = await messages.read(key, true);
    // Damage stays where it is, for the operator.
    if (segment === undefined || segment.damaged.length > 0) continue;
    const unsettled = segment.records.filter(({ id, header }) => !index.isSettled(id, header.recipients));
    // Joined before, by a process that ended before it could remove the source.
    const left = unsettled.filter(({ id }) => (messages.compacted(id)?.segment ?? key) === key);
    const copies = left.map((record) => copyOf(key, record, segment.octets));
    if (copies.includes(undefined)) continue;
    records.push(...copies.filter((copy) => copy !== undefined));
    emptied.push(key);
  }
  if (records.length === 0) return { moved: 0, emptied };
  if (monotonicMs() - startedMs > longestMs) return none;
  const key = compactedKey(writer.next(), begunMs);
  await store.put(key, Buffer.concat(new BatchLayout().lay(records, key, 0).pieces));
  const stored = await store.head(key);
  if (stored !== undefined && compactionCounts(key, stored.modifiedMs))
    return { moved: records.length, emptied };
  await store.remove([key]);
  return none;
}

/** Undefined when the body does not match its checksum. A large body stays where it is. */
function copyOf(key: string, record: ScannedRecord, octets: Buffer): PlacelessRecord | undefined {
  const { header, extra, offset, length } = record;
  const body = octets.subarray(offset + bodyOffset(header), offset + length);
  if (!header.large && crc32(body) !== header.bodyCrc) return undefined;
  const origin = locatorOf(key, record);
  const head = makeHead(
    record.meta(),
    { length: header.bodyLength, crc: header.bodyCrc },
    extra.large === undefined ? { origin } : { origin, large: extra.large },
  );
  return { head, chunks: header.large ? [] : [body] };
}
