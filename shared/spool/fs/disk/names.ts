/** Names and places of everything in a spool directory (pure). */
import { join } from "node:path";

/** The directories of one spool. */
export interface Places {
  /** Records of accepted messages, `<opened>-<writer>[-s].seg`. */
  segments: string;
  /** What became of recipients, `<opened>-<writer>.log`. */
  settled: string;
  /** Bodies too large for a segment, `<writer>-<n>.body`. */
  large: string;
  /** Messages that were moved out of their segment, `<id>.msg`. */
  own: string;
  /** One directory for each collector at work: its lock, and the messages it is moving. */
  moving: string;
  /** One file for each writer that is alive. */
  writers: string;
  /** Segments with records that cannot be read, put aside when all else in them is settled. */
  damaged: string;
}

export function placesIn(directory: string): Places {
  return {
    segments: join(directory, "segments"),
    settled: join(directory, "settled"),
    large: join(directory, "large"),
    own: join(directory, "own"),
    moving: join(directory, "moving"),
    writers: join(directory, "writers"),
    damaged: join(directory, "damaged"),
  };
}

/** What the name of a segment or settle log says. */
export interface NumberedName {
  /** Epoch milliseconds when it was opened; rising, and never twice, for one writer. */
  openedMs: number;
  writer: string;
  /** It may hold records that settle other messages; only segments do. */
  settling: boolean;
}

/** `openedMs` has nine digits in base 36 until the year 5188, hence names sort by age. */
export function numberedName({ openedMs, writer, settling }: NumberedName): string {
  return `${openedMs.toString(36).padStart(9, "0")}-${writer}${settling ? "-s" : ""}`;
}

const numbered = /^([0-9a-z]{9})-([0-9a-z]{12})(-s)?$/;

export function parseNumberedName(name: string): NumberedName | undefined {
  const match = numbered.exec(name);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return {
    openedMs: Number.parseInt(match[1], 36),
    writer: match[2],
    settling: match[3] !== undefined,
  };
}

/** The names in a directory listing that are well formed and end so, without the ending, oldest first. */
export function numberedNames(listing: string[], ending: ".seg" | ".log"): string[] {
  return listing
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -ending.length))
    .filter((name) => numbered.test(name))
    .sort();
}

/** Of the segments in a directory listing those that may settle messages; of the others there are many more. */
export function settlingSegments(listing: string[]): string[] {
  return numberedNames(
    listing.filter((file) => file.endsWith("-s.seg")),
    ".seg",
  );
}

/** @param random  at least 12 random octets */
export function writerName(random: Uint8Array): string {
  let name = "";
  for (let i = 0; i < 12; i++) name += ((random[i] ?? 0) % 36).toString(36);
  return name;
}

export function largeName(writer: string, count: number): string {
  return `${writer}-${count.toString(36)}`;
}

export function writerOfLarge(name: string): string {
  return name.slice(0, name.indexOf("-"));
}

/** The locator's segment of a message in a file of its own. */
export const movedPlace = "own";
