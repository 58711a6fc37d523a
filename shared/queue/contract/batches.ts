/**
 * How much mail is enqueued or compared in one step: bounded by jobs and by memory, not by messages, since one message
 * may have a thousand recipients with a job each. Pure.
 */
import type { StoredMessage } from "../../spool/spool.ts";

/** What some items amount to. */
export interface Load {
  jobs: number;
  /** An estimate of the memory that they take here. */
  octets: number;
}

/** One step: a few megabytes here, and no long pause of the event loop or of Redis. */
export const batchLimit: Load = { jobs: 1_000, octets: 4 * 2 ** 20 };

/** A message with one short recipient takes 1 to 2 KB. */
const octetsOfMessage = 1_000;
/** An address and the objects around it. */
const octetsOfRecipient = 100;
/** The number of a recipient group, its route and its payload. */
const octetsOfGroup = 400;

/** What a message amounts to that waits to be enqueued. */
export function loadOf({ meta }: Pick<StoredMessage, "meta">): Load {
  let octets = octetsOfMessage + meta.parts.length * octetsOfGroup;
  for (const { address, orcpt = "" } of meta.envelope.recipients) {
    octets += octetsOfRecipient + address.length + orcpt.length;
  }
  return { jobs: meta.parts.length, octets };
}

export const noLoad: Load = { jobs: 0, octets: 0 };

export function plus(a: Load, b: Load): Load {
  return { jobs: a.jobs + b.jobs, octets: a.octets + b.octets };
}

export function minus(a: Load, b: Load): Load {
  return { jobs: a.jobs - b.jobs, octets: a.octets - b.octets };
}

export function exceeds(load: Load, limit: Load): boolean {
  return load.jobs > limit.jobs || load.octets > limit.octets;
}

/** Gathers items up to a limit. One item alone may exceed it. */
export class Batch<T> {
  readonly #limit: Load;
  #items: T[] = [];
  #load = noLoad;

  constructor(limit: Load = batchLimit) {
    this.#limit = limit;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  /** @returns false when the item does not fit any more, and was not added */
  add(item: T, load: Load): boolean {
    const together = plus(this.#load, load);
    if (!this.isEmpty && exceeds(together, this.#limit)) return false;
    this.#items.push(item);
    this.#load = together;
    return true;
  }

  /** Empties the batch. @returns its items */
  take(): T[] {
    const items = this.#items;
    this.#items = [];
    this.#load = noLoad;
    return items;
  }
}

/** Splits items into batches, none of them empty. */
export function* inBatches<T>(items: Iterable<T>, loadOf: (item: T) => Load): Generator<T[], void> {
  const batch = new Batch<T>();
  for (const item of items) {
    const load = loadOf(item);
    if (batch.add(item, load)) continue;
    yield batch.take();
    batch.add(item, load);
  }
  if (!batch.isEmpty) yield batch.take();
}
