/**
 * Accepts messages: holds the open drafts, and commits each to its large body, its record and, when it settles another
 * message, the status entries. Owns the drafts, until close().
 */
import type { MessageMeta } from "../../mail/message.ts";
import type { SpoolCounters } from "../counters.ts";
import type { OnFault } from "../fault.ts";
import type { LogicalClock } from "../recipient-state.ts";
import type { DraftBody, LargeBody } from "../records/draft.ts";
import { largeName } from "../records/names.ts";
import { OpenDrafts } from "../records/open-drafts.ts";
import { headLength, makeHead, type RecordExtra, type TimedSettlement } from "../records/record.ts";
import { type Settlement, SpoolUnavailable, type StoredMessage } from "../spool.ts";
import { BodyUpload, type BodyUploadOptions } from "./messages/body-upload.ts";
import type { MessageWriter } from "./messages/message-writer.ts";
import type { StatusFollower } from "./states/status-follower.ts";
import type { StatusWriter } from "./states/status-writer.ts";
import { storeError } from "./store/failures.ts";
import type { WriterName } from "./store/names.ts";
import { StoreFailure } from "./store/object-store.ts";

export interface DraftsOptions extends BodyUploadOptions {
  largeBytes: number;
  draftMemoryBytes: number;
  /** Age at which a body without a record is removed: a commit must be over long before. */
  orphanAfterMs: number;
  forHandover: boolean;
  /** Rejects while services may not use the spool. */
  admit(): Promise<void>;
  writer: WriterName;
  clock: LogicalClock;
  messages: MessageWriter;
  statuses: StatusWriter;
  follower: StatusFollower;
  counters: SpoolCounters;
  onFault: OnFault;
}

/** How long a client waits for its refusal until the message is marked as refused. */
const withdrawMs = 5000;

export class Drafts extends OpenDrafts {
  readonly #options: DraftsOptions;
  #largeCount = 0;

  constructor(options: DraftsOptions) {
    super(options);
    this.#options = options;
  }

  /** Discards the open drafts and waits for commits that have begun. */
  async close(): Promise<void> {
    await this.discardOpen();
    this.#options.messages.hurry();
    await this.commitsEnded();
    await this.#options.messages.close();
  }

  openLarge(): LargeBody {
    return new BodyUpload(this.#options, largeName(this.#options.writer.writer, ++this.#largeCount));
  }

  protected async commit(
    meta: MessageMeta,
    { length, crc, chunks, large }: DraftBody,
    settles: Settlement | undefined,
  ): Promise<StoredMessage> {
    const { messages, clock, counters, admit } = this.#options;
    const extra: RecordExtra = {};
    try {
      await admit();
      if (large !== undefined) {
        extra.large = await large.finish();
        counters.largeBodies++;
        this.#mustBeInTime(large);
      }
      if (settles !== undefined) extra.settles = { ...settles, timestamp: clock.next() };
      const head = makeHead(meta, { length, crc }, extra);
      const bytes = headLength(head) + (large === undefined ? length : 0);
      const locator = await messages.append({ head, chunks }, bytes, settles !== undefined);
      if (large !== undefined) await this.#withdrawIfLate(meta, large);
      if (extra.settles !== undefined) await this.#recordSettlement(extra.settles);
      return { meta, locator };
    } catch (error) {
      const isUncertain = error instanceof StoreFailure && error.outcome === "unknown";
      if (isUncertain) await this.#withdraw(meta, settles);
      else await large?.discard();
      throw storeError(error, "the message could not be stored");
    }
  }

  /**
   * The record may be in the store, or may get there yet, although its client is refused and sends again. A removal is
   * recorded, so that nobody delivers it. A notification is not withdrawn: its record settles what it reports, and one that
   * comes twice is better than none.
   */
  async #withdraw(meta: MessageMeta, settles: Settlement | undefined): Promise<void> {
    const { statuses, onFault, forHandover } = this.#options;
    if (settles !== undefined || forHandover) return;
    const recipients = meta.envelope.recipients.map((_, index) => index);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not within ${withdrawMs / 1000} s`)), withdrawMs);
    });
    try {
      const state = { kind: "removed" } as const;
      await Promise.race([statuses.append([{ id: meta.id, recipients, state }]), late]);
    } catch (error) {
      // The status writer goes on trying.
      onFault({ kind: "not-wiped", place: meta.id, error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Another process takes the body for one without a record when it is old enough. */
  #mustBeInTime(large: LargeBody): void {
    const ageMs = large instanceof BodyUpload ? large.ageMs : 0;
    if (ageMs > this.#options.orphanAfterMs / 2)
      throw new SpoolUnavailable(`the message took ${Math.round(ageMs / 3_600_000)} hours`);
  }

  async #withdrawIfLate(meta: MessageMeta, large: LargeBody): Promise<void> {
    try {
      this.#mustBeInTime(large);
    } catch (error) {
      await this.#withdraw(meta, undefined);
      throw error;
    }
  }

  /** The record says it already; a failure does not refuse the message: the status writer tries again. */
  async #recordSettlement(settles: TimedSettlement): Promise<void> {
    const { statuses, follower, onFault } = this.#options;
    follower.follow();
    try {
      await statuses.appendRecorded([settles], settles.timestamp);
    } catch (error) {
      onFault({ kind: "background", doing: "recording what a message settles", error });
    }
  }
}
