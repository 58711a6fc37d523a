/**
 * Hands the unsettled mail of one spool to another, each message once, wherever it is interrupted:
 *
 * 1. `copying`: all messages are copied to where no service delivers them: into chunks beside the segments of a directory, or
 *    into a store that is closed to services meanwhile. Interrupted, what was copied counts.
 * 2. `committed`: written when all are there. From now on the mail is the other spool's.
 * 3. In a directory the states of the recipients are recorded, then the segments of the chunks move to its own by renames.
 *    Interrupted, what has not moved yet is done again; what has moved may be delivered and gone already. In a store
 *    everything is in its place already.
 * 4. What was handed over is settled here; then a store is opened again to its services, and this spool to its own.
 *
 * No service works on the spool that the mail comes from, nor on a store that it goes to.
 */
import { randomBytes } from "node:crypto";
import { directorySource, directoryTarget } from "./directory-ends.ts";
import type { HandedMessage, Source, Target, Unsettled } from "./ends.ts";
import { type HandoverState, isStoreName } from "./handover-file.ts";
import { removalOf } from "./settlements.ts";
import { type StoreEnd, storeSource, storeTarget } from "./store-ends.ts";

/** The directory of a spool, absolute, or a spool in a store. */
export type SpoolEnd = string | StoreEnd;

export interface HandoverOptions {
  from: SpoolEnd;
  to: SpoolEnd;
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
  const [source, target] = [sourceOf(options.from), targetOf(options.to, options.from)];
  const begun = await source.read();
  if (begun !== undefined && begun.to !== target.name)
    throw new Error(`its mail is being handed to ${begun.to}`);
  const id = begun?.id ?? randomBytes(8).toString("hex");
  let state: HandoverState = begun ?? { version: 1, id, to: target.name, phase: "copying" };
  let unreadable: string[] = [];
  if (state.phase === "copying") {
    // First here: a target that waits for a hand-over that nobody knows of could not be finished.
    if (begun === undefined) await source.write(state);
    try {
      await target.begin(id);
    } catch (error) {
      if (begun === undefined) await source.remove(state);
      throw error;
    }
    unreadable = await copyAll(options, source, target, id);
    await options.beforeCommit?.();
    state = { ...state, phase: "committed" };
    await source.write(state);
  }
  const all = await target.give(id, source, (messages) =>
    options.progress?.({ phase: "handing-over", messages }),
  );
  await source.use((spool) => settleAll(spool, all));
  await target.end(id);
  await source.remove(state);
  return { messages: all.length, recipients: all.reduce((sum, one) => sum + one.recipients, 0), unreadable };
}

/**
 * Ends a hand-over that has not been committed.
 * @param to  needed when it goes to a store
 * @returns whether there was one
 * @throws Error when it is committed, or goes elsewhere
 */
export async function cancelHandover(from: SpoolEnd, to?: SpoolEnd): Promise<boolean> {
  const source = sourceOf(from);
  const state = await source.read();
  if (state === undefined) return false;
  if (state.phase === "committed")
    throw new Error(`its mail belongs to the spool ${state.to} already: finish the hand-over`);
  if (to === undefined && isStoreName(state.to))
    throw new Error(
      `its mail is being handed to ${state.to}: say --to with the configuration of that gateway, too`,
    );
  const target = targetOf(to ?? state.to, from);
  if (target.name !== state.to) throw new Error(`its mail is being handed to ${state.to}`);
  await target.cancel(state.id, source);
  await source.remove(state);
  return true;
}

function sourceOf(end: SpoolEnd): Source {
  return typeof end === "string" ? directorySource(end) : storeSource(end);
}

function targetOf(end: SpoolEnd, from: SpoolEnd): Target {
  if (typeof end === "string") return directoryTarget(end);
  return storeTarget(end, typeof from === "string" ? from : from.name);
}

/** @returns the ids of the messages that cannot be read */
async function copyAll(
  { chunk = defaultChunk, progress }: HandoverOptions,
  source: Source,
  target: Target,
  id: string,
): Promise<string[]> {
  const copied = new Set(await target.copied(id));
  const unreadable: string[] = [];
  const ids = new Set<string>();
  await source.use(async (spool) => {
    let some: Unsettled[] = [];
    let octets = 0;
    const flush = async (): Promise<void> => {
      if (some.length === 0) return;
      const { isStorageError } = source;
      const written = await target.copy(id, { spool, isStorageError }, some);
      for (const each of written.copied) copied.add(each);
      for (const each of written.copied) ids.add(each);
      unreadable.push(...written.unreadable);
      some = [];
      octets = 0;
      progress?.({ phase: "copying", messages: copied.size });
    };
    for await (const message of spool.unsettled({ onUnreadable: (each) => unreadable.push(each.id) })) {
      if (copied.has(message.meta.id)) {
        ids.add(message.meta.id);
        continue;
      }
      some.push(message);
      octets += message.meta.size;
      if (some.length >= chunk.messages || octets >= chunk.octets) await flush();
    }
    await flush();
    source.mustBeWhole(spool);
  });
  await target.check(ids);
  return unreadable;
}

/** In the spool that they come from. */
async function settleAll(source: Parameters<Parameters<Source["use"]>[0]>[0], all: readonly HandedMessage[]) {
  const settlements = all.flatMap(removalOf);
  for (let start = 0; start < settlements.length; start += 1000)
    await source.settle(settlements.slice(start, start + 1000));
}
