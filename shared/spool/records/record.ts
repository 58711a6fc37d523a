/**
 * The record of one message in a segment (pure): 40 octets of header, then id, meta (JSON), extra (JSON or nothing)
 * and, unless it has its own file, the body.
 *
 * Checksums are seeded with the name of the place (segment or moved message), which no sender knows: a body that
 * imitates a record is not taken for one when a damaged segment is searched for the next record.
 */
import { crc32 } from "node:zlib";
import type { MessageMeta } from "../../mail/message.ts";
import type { Locator, Settlement } from "../spool.ts";

export const headerLength = 40;
/** The first octet is not UTF-8: rare in mail, fast to search for. */
export const magic = Buffer.from([0x8f, 0x50, 0x53, 0x52]);
const formatVersion = 1;
const largeFlag = 1;

export interface RecordHeader {
  idLength: number;
  metaLength: number;
  extraLength: number;
  /** Number of recipients in the envelope: tells whether the message is settled without parsing the meta. */
  recipients: number;
  /** Octets of the body, also when it has its own file. */
  bodyLength: number;
  /** The body has a file of its own. */
  large: boolean;
  metaCrc: number;
  bodyCrc: number;
  /** CRC-32 of the header, which contains both checksums above: it stands for the whole record. */
  checksum: number;
}

/** What the spool itself stores with a message. */
export interface RecordExtra {
  /** Name of the body's own file, without its ending. */
  large?: string;
  /** Of another message, settled by this record. */
  settles?: TimedSettlement;
  /** Where the record of a moved message was before. */
  origin?: Locator;
}

export interface TimedSettlement extends Settlement {
  /** Orders settlements of the same recipient; see `LogicalClock`. */
  timestamp: number;
}

/** Everything before the body, encoded once the message is committed. */
export interface RecordHead {
  id: Buffer;
  meta: Buffer;
  extra: Buffer;
  recipients: number;
  bodyLength: number;
  bodyCrc: number;
  large: boolean;
}

const nothing = Buffer.alloc(0);

export function makeHead(
  meta: MessageMeta,
  body: { length: number; crc: number },
  extra: RecordExtra,
): RecordHead {
  const hasExtra = extra.large !== undefined || extra.settles !== undefined || extra.origin !== undefined;
  return {
    id: Buffer.from(meta.id, "latin1"),
    meta: Buffer.from(JSON.stringify(meta)),
    extra: hasExtra ? Buffer.from(JSON.stringify(toStored(extra))) : nothing,
    recipients: meta.envelope.recipients.length,
    bodyLength: body.length,
    bodyCrc: body.crc,
    large: extra.large !== undefined,
  };
}

export function headLength(head: RecordHead): number {
  return headerLength + head.id.length + head.meta.length + head.extra.length;
}

/** Octets in the segment. */
export function recordLength(header: RecordHeader): number {
  return bodyOffset(header) + (header.large ? 0 : header.bodyLength);
}

/** Octets from the record's start to its body. */
export function bodyOffset(header: RecordHeader): number {
  return headerLength + header.idLength + header.metaLength + header.extraLength;
}

/** @param place  name of the segment, or `movedPlace(id)` */
export function placeSeed(place: string): number {
  return crc32(place);
}

/** Writes header, id, meta and extra at `at`; returns the checksum of the record. */
export function writeHead(octets: Buffer, at: number, head: RecordHead, seed: number): number {
  const start = at + headerLength;
  let end = start;
  end += head.id.copy(octets, end);
  end += head.meta.copy(octets, end);
  end += head.extra.copy(octets, end);
  magic.copy(octets, at);
  octets[at + 4] = formatVersion;
  octets[at + 5] = head.large ? largeFlag : 0;
  octets.writeUInt16LE(head.id.length, at + 6);
  octets.writeUInt32LE(head.meta.length, at + 8);
  octets.writeUInt32LE(head.extra.length, at + 12);
  octets.writeUInt32LE(head.recipients, at + 16);
  octets.writeUIntLE(head.bodyLength, at + 20, 6);
  octets.writeUInt16LE(0, at + 26);
  octets.writeUInt32LE(crc32(octets.subarray(start, end), seed), at + 28);
  octets.writeUInt32LE(head.bodyCrc, at + 32);
  const checksum = crc32(octets.subarray(at, at + 36), seed);
  octets.writeUInt32LE(checksum, at + 36);
  return checksum;
}

/** The header at `at`, in a buffer of at least `headerLength` octets from there; undefined when none of this place is there. */
export function readHeader(source: Buffer, at: number, seed: number): RecordHeader | undefined {
  if (source[at] !== magic[0] || source[at + 1] !== magic[1] || source[at + 4] !== formatVersion)
    return undefined;
  const checksum = source.readUInt32LE(at + 36);
  if (crc32(source.subarray(at, at + 36), seed) !== checksum) return undefined;
  return {
    idLength: source.readUInt16LE(at + 6),
    metaLength: source.readUInt32LE(at + 8),
    extraLength: source.readUInt32LE(at + 12),
    recipients: source.readUInt32LE(at + 16),
    bodyLength: source.readUIntLE(at + 20, 6),
    large: ((source[at + 5] ?? 0) & largeFlag) !== 0,
    metaCrc: source.readUInt32LE(at + 28),
    bodyCrc: source.readUInt32LE(at + 32),
    checksum,
  };
}

/**
 * Octets before the body of the record at the start of `source`, as its header says; undefined where no header is. The
 * header's checksum is not verified: whoever reads that much verifies it then.
 */
export function headSize(source: Buffer): number | undefined {
  if (source[0] !== magic[0] || source[1] !== magic[1]) return undefined;
  return headerLength + source.readUInt16LE(6) + source.readUInt32LE(8) + source.readUInt32LE(12);
}

/** What is before the body of a record. */
export interface RecordText {
  id: string;
  /** Parsed only on demand. */
  meta(): MessageMeta;
  extra: RecordExtra;
}

/** Reads id, meta and extra of the record at `at`; undefined when they do not match their checksum, or extra is not JSON. */
export function readText(
  source: Buffer,
  at: number,
  header: RecordHeader,
  seed: number,
): RecordText | undefined {
  const start = at + headerLength;
  const metaStart = start + header.idLength;
  const metaEnd = metaStart + header.metaLength;
  const end = metaEnd + header.extraLength;
  if (crc32(source.subarray(start, end), seed) !== header.metaCrc) return undefined;
  const extra = header.extraLength === 0 ? noExtra : readExtra(source.toString("utf8", metaEnd, end));
  if (extra === undefined) return undefined;
  return {
    id: source.toString("latin1", start, metaStart),
    meta: () => JSON.parse(source.toString("utf8", metaStart, metaEnd)) as MessageMeta,
    extra,
  };
}

const noExtra: RecordExtra = {};

function readExtra(json: string): RecordExtra | undefined {
  try {
    return fromStored(JSON.parse(json) as StoredExtra);
  } catch {
    return undefined;
  }
}

/** `RecordExtra` as it stands on disk, where the timestamp is called `stamp`. */
type StoredExtra = Omit<RecordExtra, "settles"> & { settles?: Settlement & { stamp: number } };

function toStored({ settles, ...extra }: RecordExtra): StoredExtra {
  if (settles === undefined) return extra;
  const { timestamp: stamp, ...settlement } = settles;
  return { ...extra, settles: { ...settlement, stamp } };
}

function fromStored({ settles, ...extra }: StoredExtra): RecordExtra {
  if (settles === undefined) return extra;
  const { stamp: timestamp, ...settlement } = settles;
  return { ...extra, settles: { ...settlement, timestamp } };
}
