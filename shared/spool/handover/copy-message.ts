/** Copies one message from a spool to another. */
import type { Spool, StoredMessage } from "../spool.ts";
import type { Unsettled } from "./ends.ts";

/** @returns undefined when it cannot be read @throws what the storage of either spool is to blame for */
export async function copyMessage(
  source: { spool: Pick<Spool, "read">; isStorageError(error: unknown): boolean },
  target: Pick<Spool, "draft">,
  { meta, locator }: Unsettled,
): Promise<StoredMessage | undefined> {
  const found = await source.spool.read(meta.id, locator).catch((error: unknown) => {
    if (source.isStorageError(error)) throw error;
    return undefined;
  });
  if (found === undefined) return undefined;
  const draft = target.draft();
  try {
    const { body } = found;
    const chunks = body.kind === "buffer" ? [body.bytes] : body.open();
    try {
      for await (const chunk of chunks) await draft.write(chunk);
    } catch (error) {
      // The storage of a spool failed, and not the message.
      if (isUnavailable(error)) throw error;
      return undefined;
    }
    return await draft.commit(found.meta);
  } finally {
    await draft.discard();
  }
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof Error && /^Spool(Full|Unavailable)$/.test(error.name);
}
