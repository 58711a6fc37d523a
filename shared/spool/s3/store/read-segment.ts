/** Reads an object with records of messages as a whole. Owns nothing. */
import { type WalkedSegment, walkSegment } from "../../records/walk.ts";
import type { ObjectStore } from "./object-store.ts";

export interface ReadSegment extends WalkedSegment {
  octets: Buffer;
}

/**
 * An object as the store has it; what is damaged is asked for once more.
 * @returns undefined when there is none
 * @throws StoreFailure
 */
export async function readSegment(
  store: Pick<ObjectStore, "get">,
  key: string,
): Promise<ReadSegment | undefined> {
  const first = segmentOf(await store.get(key), key);
  return first === undefined || first.damaged.length === 0 ? first : segmentOf(await store.get(key), key);
}

/** What these octets of an object say. */
export function segmentOf(octets: Buffer | undefined, key: string): ReadSegment | undefined {
  return octets && { ...walkSegment(octets, key), octets };
}
