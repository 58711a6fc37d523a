/** The connections that a handler has open, and how they end when the service stops. It owns none of their sockets. */

export interface OpenConnection {
  /** Ends it once nothing is under way. Absent: that cannot be known, and it has the whole grace period. */
  endWhenIdle?(): void;
  /** Ends it at once. */
  cut(): void;
}

/** Keys are sockets or sessions: whatever its handler knows a connection by. */
export class OpenConnections<Key> {
  readonly #open = new Map<Key, OpenConnection>();
  #isClosing = false;
  #empty: PromiseWithResolvers<void> | undefined;

  get size(): number {
    return this.#open.size;
  }

  /** close() has been called: nothing new may begin. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Adds a connection, or replaces what is known of it. */
  set(key: Key, connection: OpenConnection): void {
    this.#open.set(key, connection);
  }

  /** The connection has ended. */
  delete(key: Key): void {
    this.#open.delete(key);
    if (this.#open.size === 0) this.#empty?.resolve();
  }

  /** Asks all connections to end when idle. Others may begin. */
  endWhenIdle(): void {
    for (const connection of this.#open.values()) connection.endWhenIdle?.();
  }

  /** Asks all connections to end when idle, and cuts what is left after `graceMs`. Resolves when all have been deleted. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.endWhenIdle();
    if (this.#open.size === 0) return;
    this.#empty ??= Promise.withResolvers();
    const graceOver = setTimeout(() => {
      for (const connection of this.#open.values()) connection.cut();
    }, graceMs);
    await this.#empty.promise;
    clearTimeout(graceOver);
  }
}
