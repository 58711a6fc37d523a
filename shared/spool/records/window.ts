/** The records in a part of a segment (pure). */
import {
  bodyOffset,
  headerLength,
  type RecordHeader,
  type RecordText,
  readHeader,
  readText,
  recordLength,
} from "./record.ts";

export interface ScannedRecord extends RecordText {
  offset: number;
  /** Octets in the segment. */
  length: number;
  header: RecordHeader;
}

/** A record with an intact header whose id, meta or extra is damaged. */
export interface DamagedRecord {
  /** As it stands there: it may be what is damaged. */
  id: string;
  offset: number;
  length: number;
  header: RecordHeader;
}

export interface WindowContent {
  records: ScannedRecord[];
  /** Where the next window begins. */
  position: number;
  /** `cut`: the file ends within a record. `lost`: no record begins at `position`. */
  stop: "cut" | "lost" | undefined;
  /** Fewest octets that the next window needs. */
  need: number;
  /** A record with damaged id, meta or extra; the window ends after it. */
  damaged?: DamagedRecord;
}

/**
 * @param window  octets of the segment
 * @param start   where in the segment they begin
 * @param end     octets of the whole segment
 */
export function readWindow(
  window: Buffer,
  start: number,
  { seed, end }: { seed: number; end: number },
): WindowContent {
  const content: WindowContent = { records: [], position: start, stop: undefined, need: 0 };
  for (;;) {
    const at = content.position - start;
    if (at + headerLength > window.length) return content;
    const header = readHeader(window, at, seed);
    if (header === undefined) return { ...content, stop: "lost" };
    const length = recordLength(header);
    if (content.position + length > end) return { ...content, stop: "cut" };
    const textEnd = bodyOffset(header);
    if (at + textEnd > window.length) return { ...content, need: textEnd };
    const text = readText(window, at, header, seed);
    const offset = content.position;
    content.position += length;
    if (text === undefined) {
      const id = window.toString("latin1", at + headerLength, at + headerLength + header.idLength);
      return { ...content, damaged: { id, offset, length, header } };
    }
    content.records.push({ ...text, offset, length, header });
  }
}
