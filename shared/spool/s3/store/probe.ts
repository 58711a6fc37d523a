/** Finds out what a store can do, with objects of its own, which it removes. */
import { type AbortableStore, type ObjectStore, StoreFailure } from "./object-store.ts";

export interface ProbeReport {
  conditionalPut: boolean;
  batchDelete: boolean;
}

const text = Buffer.from("postern probes this store\n");

/**
 * @param key  that nobody else uses
 * @throws StoreFailure when the store cannot be used at all: no access, no bucket, ranges that are answered wrong
 */
export async function probeStore(store: AbortableStore, key: string): Promise<ProbeReport> {
  const { capabilities } = store;
  const [there, absent] = [`${key}-1`, `${key}-2`];
  await store.put(there, text);
  const part = await store.get(there, { offset: 8, length: 6 });
  if (part?.toString() !== "probes")
    throw new StoreFailure("refused", "it does not return what was written to it", "not-stored");
  // Honoured when it refuses to replace an object and lets a new one pass: a store may refuse every condition.
  const conditionalPut =
    (await tryConditional(store, there)) === "exists" && (await tryConditional(store, absent)) === "written";
  await store.remove([there, absent]);
  capabilities.conditionalPut = conditionalPut;
  return { conditionalPut, batchDelete: capabilities.batchDelete };
}

async function tryConditional(
  store: ObjectStore,
  key: string,
): Promise<"written" | "exists" | "unsupported"> {
  try {
    await store.putIfAbsent(key, text);
    return "written";
  } catch (error) {
    if (!(error instanceof StoreFailure)) throw error;
    if (error.kind === "exists") return "exists";
    // 501 of Swift; other stores answer 400.
    if (error.kind === "unsupported" || error.kind === "refused") return "unsupported";
    throw error;
  }
}
