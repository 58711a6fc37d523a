/** Names and places of everything in a spool directory (pure). */
import { join } from "node:path";
import { parseNumberedName } from "../../records/names.ts";

/** The directories of one spool. */
export interface Places {
  /** The spool directory itself. */
  root: string;
  /** Records of accepted messages, `<opened>-<writer>[-s].seg`. */
  segments: string;
  /** Status logs: the states of recipients, `<opened>-<writer>.log`. */
  statusLogs: string;
  /** Bodies too large for a segment, `<writer>-<n>.body`. */
  large: string;
  /** Messages that were moved out of their segment, `<id>.msg`. */
  moved: string;
  /** One directory for each collector at work: its lock, and the messages that it is moving. */
  moving: string;
  /** Heartbeat files, one for each living writer. */
  writers: string;
  /** Segments with unreadable records, put aside when everything else in them is settled. */
  damaged: string;
}

export function placesIn(root: string): Places {
  return {
    root,
    segments: join(root, "segments"),
    statusLogs: join(root, "settled"),
    large: join(root, "large"),
    moved: join(root, "own"),
    moving: join(root, "moving"),
    writers: join(root, "writers"),
    damaged: join(root, "damaged"),
  };
}

export function segmentPath(places: Pick<Places, "segments">, name: string): string {
  return join(places.segments, `${name}.seg`);
}

export function logPath(places: Pick<Places, "statusLogs">, name: string): string {
  return join(places.statusLogs, `${name}.log`);
}

export function largePath(places: Pick<Places, "large">, name: string): string {
  return join(places.large, `${name}.body`);
}

export function movedPath(places: Pick<Places, "moved">, id: string): string {
  return join(places.moved, `${id}.msg`);
}

/** Paths below the spool's directory, for reports. */
export function segmentPlace(name: string): string {
  return `segments/${name}.seg`;
}

export function logPlace(name: string): string {
  return `settled/${name}.log`;
}

export function largePlace(name: string): string {
  return `large/${name}.body`;
}

export function movedFilePlace(id: string): string {
  return `own/${id}.msg`;
}

/** The well-formed names in a directory listing that have this ending, without it, oldest first. */
export function numberedNames(listing: string[], ending: ".seg" | "-s.seg" | ".log"): string[] {
  return stems(listing, ending, ending === "-s.seg" ? ".seg" : ending).filter(
    (name) => parseNumberedName(name) !== undefined,
  );
}

/** The ids of the moved messages in a directory listing. */
export function movedIds(listing: string[]): string[] {
  return stems(listing, ".msg");
}

/** The names of the large bodies in a directory listing. */
export function largeNames(listing: string[]): string[] {
  return stems(listing, ".body");
}

function stems(listing: string[], ending: string, cut = ending): string[] {
  return listing
    .filter((file) => file.endsWith(ending))
    .map((file) => file.slice(0, -cut.length))
    .sort();
}

/** What stands for the segment in the locator of a moved message. */
export const movedSegment = "own";

/** The place by which the checksums of a moved message's record are seeded. */
export function movedPlace(id: string): string {
  return `${movedSegment}/${id}`;
}
