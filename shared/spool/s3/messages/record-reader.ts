/** Reads one message: from the local copy or the store by its locator, or where it was compacted to. Owns nothing. */
import type { MessageMeta } from "../../../mail/message.ts";
import { isFileSafeId } from "../../../mail/queue-id.ts";
import type { SpoolCounters } from "../../counters.ts";
import type { FileFaults } from "../../file-faults.ts";
import { orOnceMore } from "../../once-more.ts";
import { bodyOf, parseRecord, type ReadRecord } from "../../records/parse-record.ts";
import { headerLength, headSize, type RecordHeader, type RecordText } from "../../records/record.ts";
import { type Body, type Locator, SpoolCorrupt } from "../../spool.ts";
import { storeError } from "../store/failures.ts";
import { bodyKey, damagedKey, isSegmentKey } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";
import { BodyStream } from "./body-stream.ts";
import type { LocalCache } from "./local-cache.ts";
import type { MessageIndex } from "./message-index.ts";
import type { ReadAhead } from "./read-ahead.ts";

export interface ReadMessage {
  meta: MessageMeta;
  body: Body;
}

export interface RecordReaderOptions {
  store: ObjectStore;
  cache: LocalCache;
  ahead: ReadAhead;
  index: MessageIndex;
  counters: SpoolCounters;
  fileFaults: FileFaults;
}

type Part = "record" | "head";
/** Nearly every envelope fits, so that it takes one request. */
const likelyHead = 4096;

export class RecordReader {
  readonly #options: RecordReaderOptions;

  constructor(options: RecordReaderOptions) {
    this.#options = options;
  }

  /**
   * @returns undefined when the message is neither there nor compacted
   * @throws SpoolCorrupt, SpoolUnavailable
   */
  read(id: string, locator?: Locator): Promise<ReadMessage | undefined> {
    this.#options.counters.reads++;
    return orOnceMore(async () => {
      const found = await this.#find(id, locator, "record");
      if (found === undefined) return undefined;
      const { record, header, text } = found;
      if (!header.large)
        return { meta: text.meta(), body: { kind: "buffer", bytes: bodyOf(id, record, header) } };
      return this.#withLargeBody(id, record, header, text);
    });
  }

  /** As read(), of the envelope alone. */
  readMeta(id: string, locator?: Locator): Promise<MessageMeta | undefined> {
    return orOnceMore(async () => (await this.#find(id, locator, "head"))?.text.meta());
  }

  async #find(id: string, locator: Locator | undefined, part: Part): Promise<FoundRecord | undefined> {
    if (!isFileSafeId(id)) return undefined;
    const { index, store } = this.#options;
    try {
      const known = locator ?? (await index.find(id));
      if (known === undefined) return undefined;
      if (isSegmentKey(known.segment)) {
        const found = await this.#at(id, known, part);
        if (found !== undefined) return found;
      }
      const moved = await this.#moved(id, known.segment);
      if (moved !== undefined) return await this.#at(id, moved, part);
      if (!isSegmentKey(known.segment)) return undefined;
      const octets = await store.get(damagedKey(known.segment), known);
      return octets && parse(id, known, octets);
    } catch (error) {
      if (error instanceof SpoolCorrupt) throw error;
      this.#options.fileFaults.met(locator?.segment ?? id, error);
      throw storeError(error, "the message could not be read");
    }
  }

  /** Where it is now; the place that is known already may be one that it has left, too. */
  async #moved(id: string, segment: string): Promise<Locator | undefined> {
    const { index } = this.#options;
    const known = index.compacted(id);
    if (known !== undefined && known.segment !== segment) return known;
    await index.refreshCompacted();
    const found = index.compacted(id);
    return found?.segment === segment ? undefined : found;
  }

  async #at(id: string, locator: Locator, part: Part): Promise<FoundRecord | undefined> {
    const { cache, store, ahead } = this.#options;
    const { segment, offset, length } = locator;
    const first = part === "record" ? length : Math.min(length, likelyHead);
    const copied = await cache.read(segment, offset, length);
    const inCopy = copied && wholeIn(id, locator, part, copied);
    if (inCopy !== undefined) return inCopy;
    if (part === "record") {
      const read = await ahead.read(segment, locator);
      if (read === undefined) return undefined;
      const found = wholeIn(id, locator, part, read);
      if (found !== undefined) return found;
    }
    let octets = await store.get(segment, { offset, length: first });
    if (octets === undefined) return undefined;
    const size = octets.length < headerLength ? undefined : headSize(octets);
    if (size !== undefined && size > octets.length && size <= length)
      octets = await store.get(segment, { offset, length: size });
    return octets && parse(id, locator, octets);
  }

  async #withLargeBody(
    id: string,
    record: ReadRecord,
    { bodyLength, bodyCrc }: RecordHeader,
    { meta, extra }: RecordText,
  ): Promise<ReadMessage | undefined> {
    const { store, cache } = this.#options;
    const name = extra.large ?? "";
    const key = bodyKey(name);
    try {
      const isCopied = (await cache.read(key, bodyLength, 0)) !== undefined;
      const size = isCopied ? bodyLength : (await store.head(key))?.size;
      if (size !== bodyLength) {
        // The record is removed before its body: with the record gone, the message is freed, not damaged.
        if (size === undefined && (await store.head(record.place)) === undefined) return undefined;
        throw new SpoolCorrupt(`message ${id}: its body ${key} is missing or cut short`);
      }
    } catch (error) {
      if (error instanceof SpoolCorrupt) throw error;
      throw storeError(error, "the message's body could not be found");
    }
    const expected = { size: bodyLength, crc: bodyCrc };
    return {
      meta: meta(),
      body: { kind: "file", size: bodyLength, open: () => new BodyStream({ store, cache }, name, expected) },
    };
  }
}

interface FoundRecord {
  record: ReadRecord;
  header: RecordHeader;
  text: RecordText;
}

/** What a copy of the octets says, if it is whole; else the store has the truth. */
function wholeIn(id: string, locator: Locator, part: Part, octets: Buffer): FoundRecord | undefined {
  try {
    const found = parse(id, locator, octets);
    if (part === "record" && !found.header.large) bodyOf(id, found.record, found.header);
    return found;
  } catch {
    return undefined;
  }
}

/** @throws SpoolCorrupt */
function parse(id: string, { segment, offset, length, checksum }: Locator, octets: Buffer): FoundRecord {
  const record = { octets, whole: length, place: segment, offset, checksum };
  return { record, ...parseRecord(id, record) };
}
