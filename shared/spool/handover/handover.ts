/**
 * Hands the unsettled mail of one spool to another, each message once, wherever it is interrupted:
 *
 * 1. `copying`: all messages are copied into chunks beside the other spool's segments, where no service looks. Interrupted,
 *    the chunks that are complete count.
 * 2. `committed`: written when all are there. From now on the mail is the other spool's.
 * 3. The states of the recipients are recorded in the other spool, then the segments of the chunks move into it by renames.
 *    Interrupted, what has not moved yet is done again; what has moved may be delivered and gone already.
 * 4. What was handed over is settled here, and the file that keeps the services away is removed.
 *
 * Both directories are on one host, and no service works on the first.
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { createFsSpool } from "../fs/fs-spool.ts";
import { isSettled, type RecipientState } from "../recipient-state.ts";
import type { Settlement, Spool, StoredMessage } from "../spool.ts";
import {
  completeChunks,
  copyLargeBodies,
  entriesLeft,
  type ManifestEntry,
  moveSegments,
  removeIncompleteChunks,
  writeChunk,
} from "./chunk.ts";
import {
  type HandoverState,
  readHandover,
  removeHandover,
  scanFileName,
  writeDurably,
  writeHandover,
} from "./handover-file.ts";

export interface HandoverOptions {
  /** Directories of the spools, absolute. */
  from: string;
  to: string;
  /** Messages and octets of a chunk, roughly. */
  chunk?: { messages: number; octets: number };
  /** Before the mail is the other spool's: what must be there before it. */
  beforeCommit?(): Promise<void>;
  progress?(done: HandoverProgress): void;
}

export interface HandoverProgress {
  phase: "copying" | "handing-over";
  /** Messages that were copied, or handed over. */
  messages: number;
}

export interface HandoverReport {
  messages: number;
  recipients: number;
  /** Ids of messages that cannot be read: they stay where they are. */
  unreadable: string[];
}

const defaultChunk = { messages: 1000, octets: 64 * 1024 * 1024 };

/** Begins a hand-over, or goes on with the one that is under way. @throws Error when that has another destination */
export async function handOver(options: HandoverOptions): Promise<HandoverReport> {
  const { from, to } = options;
  const begun = readHandover(from);
  if (begun !== undefined && begun.to !== to) throw new Error(`its mail is being handed to ${begun.to}`);
  // Makes the directories of a new spool.
  await createFsSpool({ directory: to }).close();
  let state: HandoverState = begun ?? {
    version: 1,
    id: randomBytes(8).toString("hex"),
    to,
    phase: "copying",
  };
  if (begun === undefined) await writeHandover(from, state);
  const directory = directoryOf(state);
  let unreadable: string[] = [];
  if (state.phase === "copying") {
    unreadable = await copyAll(options, directory);
    await options.beforeCommit?.();
    state = { ...state, phase: "committed" };
    await writeHandover(from, state);
  }
  const entries = await giveAll(options, directory);
  await settleAll(from, entries);
  await rm(directory, { recursive: true, force: true });
  await removeHandover(from);
  const recipients = entries.reduce((sum, entry) => sum + entry.recipients, 0);
  return { messages: entries.length, recipients, unreadable };
}

/** Ends a hand-over that has not been committed. @returns whether there was one @throws Error when it is committed */
export async function cancelHandover(from: string): Promise<boolean> {
  const state = readHandover(from);
  if (state === undefined) return false;
  if (state.phase === "committed")
    throw new Error(`its mail belongs to the spool ${state.to} already: finish the hand-over`);
  await rm(directoryOf(state), { recursive: true, force: true });
  await removeHandover(from);
  return true;
}

function directoryOf({ to, id }: HandoverState): string {
  return path.join(to, "incoming", id);
}

/** @returns the ids of the messages that cannot be read */
async function copyAll(
  { from, chunk = defaultChunk, progress }: HandoverOptions,
  directory: string,
): Promise<string[]> {
  await removeIncompleteChunks(directory);
  const complete = await completeChunks(directory);
  const copied = new Set(complete.flatMap(({ entries }) => entries.map(({ id }) => id)));
  const unreadable: string[] = [];
  const source = createFsSpool({ directory: from });
  let number = complete.length;
  let some: (StoredMessage & { states: ReadonlyMap<number, RecipientState> })[] = [];
  let octets = 0;
  const flush = async (): Promise<void> => {
    if (some.length === 0) return;
    const written = await writeChunk(directory, ++number, source, some);
    for (const { id } of written.entries) copied.add(id);
    unreadable.push(...written.unreadable);
    some = [];
    octets = 0;
    progress?.({ phase: "copying", messages: copied.size });
  };
  try {
    for await (const message of source.unsettled({ onUnreadable: ({ id }) => unreadable.push(id) })) {
      if (copied.has(message.meta.id)) continue;
      some.push(message);
      octets += message.meta.size;
      if (some.length >= chunk.messages || octets >= chunk.octets) await flush();
    }
    await flush();
  } finally {
    await source.close();
  }
  return unreadable;
}

/** @returns all that is handed over, also by runs before */
async function giveAll({ to, progress }: HandoverOptions, directory: string): Promise<ManifestEntry[]> {
  const all: ManifestEntry[] = [];
  for (const { chunk, entries } of await completeChunks(directory)) {
    const left = await entriesLeft(chunk, entries);
    if (left.length > 0) {
      await copyLargeBodies(chunk, to);
      const target = createFsSpool({ directory: to });
      try {
        await target.settle(left.flatMap(({ id, states }) => settlementsOf(id, states)));
        await target.recordSettlements();
      } finally {
        // With it they are on stable storage.
        await target.close();
      }
      await moveSegments(chunk, to);
    }
    for (const entry of entries) all.push(entry);
    progress?.({ phase: "handing-over", messages: all.length });
  }
  // The leading delivery worker of the other spool looks for it, and schedules what it does not know.
  if (all.length > 0) await writeDurably(path.join(to, scanFileName), "");
  return all;
}

/** The entries that record the states anew: a reroute is an entry of its own. */
function settlementsOf(id: string, states: readonly (readonly [number, RecipientState])[]): Settlement[] {
  return states.flatMap(([recipient, state]): Settlement[] => {
    const recipients = [recipient];
    if (state.kind !== "pending") return [{ id, recipients, state }];
    const { via, ...rest } = state;
    const settlements: Settlement[] = [{ id, recipients, state: rest }];
    if (via !== undefined) settlements.push({ id, recipients, state: { kind: "pending", via } });
    return settlements;
  });
}

/** In the spool that they come from. */
async function settleAll(from: string, entries: readonly ManifestEntry[]): Promise<void> {
  const source: Spool = createFsSpool({ directory: from });
  try {
    const settlements = entries.flatMap(({ id, recipients, states }): Settlement[] => {
      const known = new Map(states);
      const left = Array.from({ length: recipients }, (_, index) => index).filter((index) => {
        const state = known.get(index);
        return state === undefined || !isSettled(state);
      });
      return left.length === 0 ? [] : [{ id, recipients: left, state: { kind: "removed" } }];
    });
    for (let start = 0; start < settlements.length; start += 1000)
      await source.settle(settlements.slice(start, start + 1000));
    await source.recordSettlements();
  } finally {
    await source.close();
  }
}

/** Whether this is the directory of a spool. */
export function isSpool(directory: string): boolean {
  return existsSync(path.join(directory, "segments"));
}
