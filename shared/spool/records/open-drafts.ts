/**
 * The drafts of a spool that are open, and the commits under way: what accepting messages has in common wherever they are
 * stored. Owns the drafts, until close().
 */
import type { MessageMeta } from "../../mail/message.ts";
import type { Draft, Settlement, StoredMessage } from "../spool.ts";
import { BufferedDraft, type DraftBody, type DraftHost, type LargeBody } from "./draft.ts";

export abstract class OpenDrafts implements DraftHost {
  readonly largeBytes: number;
  readonly memory: { usedBytes: number; limitBytes: number };
  readonly #open = new Set<BufferedDraft>();
  readonly #commits = new Set<Promise<StoredMessage>>();

  /** @param options  `draftMemoryBytes`: octets that all open drafts hold in memory together */
  constructor(options: { largeBytes: number; draftMemoryBytes: number }) {
    this.largeBytes = options.largeBytes;
    this.memory = { usedBytes: 0, limitBytes: options.draftMemoryBytes };
  }

  abstract openLarge(): LargeBody;

  /** Stores the message durably. */
  protected abstract commit(
    meta: MessageMeta,
    body: DraftBody,
    settles: Settlement | undefined,
  ): Promise<StoredMessage>;

  open(): Draft {
    const draft = new BufferedDraft(this);
    this.#open.add(draft);
    return draft;
  }

  store(meta: MessageMeta, body: DraftBody, settles: Settlement | undefined): Promise<StoredMessage> {
    const commit = this.commit(meta, body, settles);
    this.#commits.add(commit);
    const ended = (): void => void this.#commits.delete(commit);
    commit.then(ended, ended);
    return commit;
  }

  ended(draft: BufferedDraft): void {
    this.#open.delete(draft);
  }

  protected async discardOpen(): Promise<void> {
    await Promise.all([...this.#open].map((draft) => draft.abandon()));
  }

  protected async commitsEnded(): Promise<void> {
    await Promise.allSettled(this.#commits);
  }
}
