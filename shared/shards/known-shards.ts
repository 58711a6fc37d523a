/**
 * The shards that may have jobs, or events, as this process knows them: those of its configuration, and all others that stand in the
 * registry, which it reads every two seconds. Owns a timer; close() ends it. The connections are the caller's.
 */
import type { Logger } from "../runtime/log.ts";
import { settlesWithin } from "../runtime/with-timeout.ts";
import { readPrefixes, type ShardUse } from "./registry.ts";
import { prefixesOf, type Shard, type Shards } from "./shard.ts";
import type { ShardConnections } from "./shard-connections.ts";

const everyMs = 2_000;
/** How long a first answer of Redis is waited for. */
const firstMs = 1_000;

export class KnownShards implements Shards {
  readonly #connections: ShardConnections;
  readonly #own: readonly string[];
  readonly #log: Logger;
  readonly #use: ShardUse;
  readonly #whenChanged: (() => void)[] = [];
  #all: readonly Shard[];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Resolves when the registry was read, or could not be read in time. */
  readonly loaded: Promise<unknown>;

  /** @param own  how many shards this process is configured with */
  constructor(connections: ShardConnections, own: number, log: Logger, use: ShardUse = "queues") {
    this.#connections = connections;
    this.#own = prefixesOf(own).sort();
    this.#log = log;
    this.#use = use;
    this.#all = this.#own.map((prefix) => connections.of(prefix));
    this.loaded = settlesWithin(this.#refreshRegularly(), firstMs);
  }

  get all(): readonly Shard[] {
    return this.#all;
  }

  of(id: string): Shard {
    return this.#connections.ofId(id);
  }

  /** @param notify  called when a shard was added or has gone */
  onChange(notify: () => void): void {
    this.#whenChanged.push(notify);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #refreshRegularly(): Promise<void> {
    try {
      const prefixes = await readPrefixes(this.#connections.global, this.#use);
      if (!this.#isClosed) this.#update(prefixes);
    } catch (error) {
      if (!this.#isClosed) this.#log.debug({ err: error }, "could not read which shards are in use");
    }
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#refreshRegularly(), everyMs);
    this.#timer.unref();
  }

  #update(registered: readonly string[]): void {
    const prefixes = [...new Set([...this.#own, ...registered])].sort();
    if (prefixes.join() === this.#all.map(({ prefix }) => prefix).join()) return;
    this.#all = prefixes.map((prefix) => this.#connections.of(prefix));
    for (const notify of this.#whenChanged) notify();
  }
}
