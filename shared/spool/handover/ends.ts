/** The two spools of a hand-over, each in a directory or in a store that hosts share. */
import type { RecipientState } from "../recipient-state.ts";
import type { Spool, StoredMessage } from "../spool.ts";
import type { HandoverState } from "./handover-file.ts";

export type Unsettled = StoredMessage & { states: ReadonlyMap<number, RecipientState> };

/** A message that is handed over. */
export interface HandedMessage {
  id: string;
  recipients: number;
  /** By recipient index; those that are absent are pending. */
  states: readonly (readonly [number, RecipientState])[];
}

/** The spool whose mail goes away. */
export interface Source {
  /** @returns undefined when no hand-over is under way @throws Error when the spool is part of another one */
  read(): Promise<HandoverState | undefined>;
  /** On stable storage when it resolves. While there is a state, no service opens the spool. */
  write(state: HandoverState): Promise<void>;
  /** Lets the services in again. */
  remove(state: HandoverState): Promise<void>;
  /** Runs work on the spool; what it settles is on stable storage when it resolves. */
  use<T>(work: (spool: Spool) => Promise<T>): Promise<T>;
  /** What the storage, and not a message, is to blame for. @throws Error */
  mustBeWhole(spool: Spool): void;
  /** An error of reading a message that the storage, and not the message, is to blame for. */
  isStorageError(error: unknown): boolean;
}

/** The spool to which it goes. All of it may be repeated with the same id. */
export interface Target {
  /** The directory, or the store as people call it. */
  readonly name: string;
  /** Makes ready for copies. @throws Error when the spool is part of another hand-over */
  begin(id: string): Promise<void>;
  /** Ids of what was copied, also by runs before. */
  copied(id: string): Promise<ReadonlySet<string>>;
  /** Copies messages, so that they are on stable storage and nobody delivers them yet. */
  copy(
    id: string,
    source: { spool: Pick<Spool, "read">; isStorageError(error: unknown): boolean },
    messages: readonly Unsettled[],
  ): Promise<{ copied: string[]; unreadable: string[] }>;
  /** Makes sure that all these will be unsettled there, too: what is settled stays so. @throws Error */
  check(ids: ReadonlySet<string>): Promise<void>;
  /** After the commit: makes the copies the spool's own. @returns all that are handed over */
  give(id: string, source: Source, onProgress: (messages: number) => void): Promise<readonly HandedMessage[]>;
  /** After they were settled in the source. */
  end(id: string): Promise<void>;
  /** Removes the copies, before a commit. */
  cancel(id: string, source: Source): Promise<void>;
}
