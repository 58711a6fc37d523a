/** One record as it was read from the storage: whether it is the one that was asked for, and whole (pure). */
import { crc32 } from "node:zlib";
import { type Locator, SpoolCorrupt } from "../spool.ts";
import {
  bodyOffset,
  headerLength,
  placeSeed,
  type RecordHeader,
  type RecordText,
  readHeader,
  readText,
  recordLength,
} from "./record.ts";
import type { ScannedRecord } from "./window.ts";

/** A record's octets and where they were read. */
export interface ReadRecord {
  /** The record, or what is before its body. */
  octets: Buffer;
  /** Octets of the whole record, as the locator or the file has it. */
  whole: number;
  /** See `placeSeed`. */
  place: string;
  offset: number;
  /** Of the locator; absent when there was none. */
  checksum?: number;
}

/** @throws SpoolCorrupt unless the octets begin with the record of this message, with intact id, meta and extra */
export function parseRecord(id: string, record: ReadRecord): { header: RecordHeader; text: RecordText } {
  const { octets, place, checksum } = record;
  const seed = placeSeed(place);
  const header = octets.length < headerLength ? undefined : readHeader(octets, 0, seed);
  if (header === undefined) throw corrupt(id, record, "no record begins here");
  if (checksum !== undefined && header.checksum !== checksum)
    throw corrupt(id, record, "this is another record");
  if (recordLength(header) !== record.whole || bodyOffset(header) > octets.length)
    throw corrupt(id, record, "the record is cut short");
  const text = readText(octets, 0, header, seed);
  if (text === undefined)
    throw corrupt(id, record, "the envelope does not match its checksum", header.recipients);
  if (text.id !== id) throw corrupt(id, record, `this is message ${text.id}`);
  return { header, text };
}

/**
 * The body of a whole record that has no place of its own.
 * @throws SpoolCorrupt when it does not match its checksum
 */
export function bodyOf(id: string, record: ReadRecord, header: RecordHeader): Buffer {
  const bytes = record.octets.subarray(bodyOffset(header));
  if (crc32(bytes) !== header.bodyCrc) throw corrupt(id, record, "the body does not match its checksum");
  return bytes;
}

function corrupt(id: string, { place, offset }: ReadRecord, what: string, recipients?: number): SpoolCorrupt {
  return new SpoolCorrupt(`message ${id} in ${place} at ${offset}: ${what}`, recipients);
}

/** @param segment  name of the segment, or what stands for it */
export function locatorOf(
  segment: string,
  { offset, length, header }: Pick<ScannedRecord, "offset" | "length" | "header">,
): Locator {
  return { segment, offset, length, checksum: header.checksum };
}
