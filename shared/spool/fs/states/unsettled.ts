/** Finds what is still owed, and where a message stands: by walking the segments, then the messages' own files. */
import { join } from "node:path";
import { makeQueueId } from "../../../mail/queue-id.ts";
import type { RecipientState } from "../../recipient-state.ts";
import type { Locator, StoredMessage } from "../../spool.ts";
import type { KnownStates } from "../../state-index.ts";
import type { OnFault } from "../disk/fault.ts";
import { isMissing, listDirectory, type SpoolFiles, spoolError, statFile } from "../disk/files.ts";
import { movedPlace, numberedNames, type Places } from "../disk/names.ts";
import { recordLength } from "../segments/record.ts";
import { type ScannedRecord, scanSegment } from "../segments/scan.ts";
import type { WriterRegistry } from "../writers/writer-registry.ts";

export interface WalkOptions {
  files: SpoolFiles;
  places: Places;
  registry: WriterRegistry;
  /** The segment that this process writes, as far as it is acknowledged. */
  openSegment(): { name: string; length: number } | undefined;
  onFault: OnFault;
}

/**
 * What was read longer ago than this is not believed before its segment is seen to be there still: it may have been
 * collected, and its settlements forgotten with it. Far below `forgetAfterMs`.
 */
const believeForMs = 10_000;

/** Every message that is not settled, oldest segment first. */
export async function* walkUnsettled(
  options: WalkOptions,
  known: KnownStates,
): AsyncGenerator<StoredMessage & { states: ReadonlyMap<number, RecipientState> }, void> {
  const { files, places } = options;
  const walked = new Set<string>();
  for (const segment of await segmentNames(options)) {
    let readAtMs = 0;
    let there = false;
    for await (const group of segmentRecords(options, segment)) {
      for (const record of group) {
        if (performance.now() - readAtMs > believeForMs || record === group[0]) {
          readAtMs = performance.now();
          there = (await statFile(files, segmentPath(places, segment))) !== undefined;
          // What was still owed in it stands in files of its own now.
          if (!there) break;
        }
        if (known.isSettled(record.id, record.header.recipients)) continue;
        yield { meta: record.meta(), locator: locatorOf(segment, record), states: known.of(record.id) };
      }
      if (!there) break;
    }
    if (there) walked.add(segment);
  }
  // Last, since messages move from segments to here and never back.
  for (const id of await movedIds(files, places)) {
    const record = await readMovedRecord(options, id);
    if (record === undefined || (record.extra.origin && walked.has(record.extra.origin.segment))) continue;
    if (known.isSettled(id, record.header.recipients)) continue;
    yield { meta: record.meta(), locator: locatorOf(movedPlace, record), states: known.of(id) };
  }
}

/** Where a message stands that nobody has a locator for; it may stand in its own file all the same. */
export async function findRecord(options: WalkOptions, id: string): Promise<Locator | undefined> {
  for (const segment of await likelyFirst(options, await segmentNames(options), id))
    for await (const group of segmentRecords(options, segment))
      for (const record of group) if (record.id === id) return locatorOf(segment, record);
  return undefined;
}

/**
 * A message is in no segment that was last written before its id was made, and most likely in the first one after.
 * Clocks may differ, hence the others follow.
 */
async function likelyFirst({ files, places }: WalkOptions, names: string[], id: string): Promise<string[]> {
  const likely: string[] = [];
  const unlikely: string[] = [];
  for (const name of names) {
    const stats = await statFile(files, segmentPath(places, name));
    const last = makeQueueId(Math.ceil(stats?.mtimeMs ?? 0) + clockSkewMs, new Uint8Array(9).fill(31));
    (last >= id ? likely : unlikely).push(name);
  }
  return [...likely, ...unlikely];
}

const clockSkewMs = 60_000;

function segmentPath(places: Places, segment: string): string {
  return join(places.segments, `${segment}.seg`);
}

export async function movedIds(files: SpoolFiles, places: Places): Promise<string[]> {
  const listing = await listDirectory(files, places.own);
  return listing
    .filter((file) => file.endsWith(".msg"))
    .map((file) => file.slice(0, -".msg".length))
    .sort();
}

/** The record in a message's own file; undefined when it is gone or damaged. */
export async function readMovedRecord(options: WalkOptions, id: string): Promise<ScannedRecord | undefined> {
  const { files, places, onFault } = options;
  const path = join(places.own, `${id}.msg`);
  const place = `${movedPlace}/${id}`;
  try {
    const cursor = { position: 0, damaged: false };
    for await (const group of scanSegment({ files, path, segment: place, closed: true, onFault }, cursor))
      for (const record of group) if (record.id === id) return record;
    return undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw spoolError(error, "a message could not be read");
  }
}

async function segmentNames({ files, places, registry }: WalkOptions): Promise<string[]> {
  const names = numberedNames(await listDirectory(files, places.segments), ".seg");
  await registry.refresh();
  return names;
}

async function* segmentRecords(options: WalkOptions, segment: string): AsyncGenerator<ScannedRecord[], void> {
  const { files, places, registry, onFault } = options;
  const open = options.openSegment();
  const closed = registry.isFinishedName("segment", segment);
  const scan = {
    files,
    path: segmentPath(places, segment),
    segment,
    closed,
    onFault,
    ...(open?.name === segment ? { limit: open.length } : {}),
  };
  try {
    yield* scanSegment(scan, { position: 0, damaged: false });
  } catch (error) {
    if (!isMissing(error)) throw spoolError(error, "a segment could not be read");
  }
}

function locatorOf(segment: string, record: ScannedRecord): Locator {
  return {
    segment,
    offset: record.offset,
    length: recordLength(record.header),
    checksum: record.header.checksum,
  };
}
