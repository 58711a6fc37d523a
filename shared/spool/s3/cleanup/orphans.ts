/**
 * Removes bodies whose record was never written, and uploads that were not completed: their writer died, or could not clean
 * up. Ages are by the store's clock, and far above the time in which a commit must be over. Owns nothing.
 */
import type { MessageIndex } from "../messages/message-index.ts";
import { bodiesPlace } from "../store/names.ts";
import type { ObjectStore } from "../store/object-store.ts";

export interface OrphansOptions {
  store: ObjectStore;
  messages: MessageIndex;
  orphanAfterMs: number;
  monotonicMs: () => number;
}

const mostOftenMs = 3_600_000;

export class Orphans {
  readonly #options: OrphansOptions;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  /** Bodies that had no record when they were looked at last. */
  #suspects: ReadonlySet<string> = new Set();

  constructor(options: OrphansOptions) {
    this.#options = options;
  }

  /**
   * A body goes when it has no record at two looks, since a list may be of another age than the body.
   * @returns octets freed
   */
  async collect(): Promise<number> {
    const { store, messages, orphanAfterMs, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    if (nowMs - this.#lookedAtMs < Math.min(mostOftenMs, orphanAfterMs / 4)) return 0;
    this.#lookedAtMs = nowMs;
    const listed = await store.list(bodiesPlace);
    const old = (atMs: number): boolean => (store.clockMs() ?? 0) - atMs >= orphanAfterMs;
    // The messages are indexed after the bodies were listed: a record that came in between is known.
    await messages.refresh();
    const referred = messages.largeBodies();
    const orphans = listed.filter(
      ({ key, modifiedMs }) => old(modifiedMs) && !referred.has(key.slice(bodiesPlace.length)),
    );
    const removable = orphans.filter(({ key }) => this.#suspects.has(key));
    this.#suspects = new Set(orphans.map(({ key }) => key));
    if (messages.incomplete) return 0;
    await store.remove(removable.map(({ key }) => key));
    for (const { key, uploadId, startedMs } of await store.openUploads(bodiesPlace))
      if (old(startedMs)) await store.abortUpload(key, uploadId);
    return removable.reduce((bytes, { size }) => bytes + size, 0);
  }
}
