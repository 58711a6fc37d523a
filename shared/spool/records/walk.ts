/** All records of a segment that is in memory as a whole, past damage (pure). */
import { headerLength, magic, placeSeed, readHeader, recordLength } from "./record.ts";
import { type DamagedRecord, readWindow, type ScannedRecord } from "./window.ts";

export interface WalkedSegment {
  records: ScannedRecord[];
  /** With an intact header, whose id, meta or extra is damaged. */
  damagedRecords: DamagedRecord[];
  /** Octets that are no record, or a damaged one. */
  damaged: { offset: number; length: number }[];
}

/** @param place  by which the checksums are seeded */
export function walkSegment(octets: Buffer, place: string): WalkedSegment {
  const walked: WalkedSegment = { records: [], damagedRecords: [], damaged: [] };
  const scope = { seed: placeSeed(place), end: octets.length };
  let position = 0;
  while (position < octets.length) {
    const found = readWindow(octets.subarray(position), position, scope);
    walked.records.push(...found.records);
    if (found.damaged !== undefined) {
      walked.damagedRecords.push(found.damaged);
      walked.damaged.push({ offset: found.damaged.offset, length: found.damaged.length });
    } else {
      // No whole record begins here: the segment ends, or is damaged.
      const next = nextRecord(octets, found.position + 1, scope.seed);
      if (found.position < octets.length)
        walked.damaged.push({ offset: found.position, length: next - found.position });
      position = next;
      continue;
    }
    position = found.position;
  }
  return walked;
}

/** The offset of the next whole record, or of the end. */
function nextRecord(octets: Buffer, from: number, seed: number): number {
  for (let at = octets.indexOf(magic, from); at !== -1; at = octets.indexOf(magic, at + 1)) {
    const header = at + headerLength <= octets.length ? readHeader(octets, at, seed) : undefined;
    if (header !== undefined && at + recordLength(header) <= octets.length) return at;
  }
  return octets.length;
}
