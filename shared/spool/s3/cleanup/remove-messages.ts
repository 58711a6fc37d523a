/** Removes copies of messages from a spool that no service uses. */
import type { MessageIndex } from "../messages/message-index.ts";
import { bodyKey } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";

/**
 * Removes all objects in which there are only these messages, and their large bodies; interrupted, it may be done again.
 * @throws StoreFailure
 */
export async function removeMessages(
  store: ObjectStore,
  messages: MessageIndex,
  ids: ReadonlySet<string>,
): Promise<void> {
  await messages.refresh();
  const theirs = messages.segments().filter(({ contents }) => {
    const all = [...contents.messages.ids()];
    return all.length > 0 && !contents.cursor.damaged && all.every((id) => ids.has(id));
  });
  await store.remove(theirs.map(({ key }) => key));
  await store.remove(theirs.flatMap(({ contents }) => [...contents.large.names()].map(bodyKey)));
  for (const { key } of theirs) messages.noteRemoved(key);
}
