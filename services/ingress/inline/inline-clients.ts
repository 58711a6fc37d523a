/** How many inline transactions each client has open in this process. */

/** A client that opens transactions and does not end them leaves the servers' connections to others. */
const maxPerClient = 5;

export class InlineClients {
  readonly #open = new Map<string, number>();

  hasRoom(client: string): boolean {
    return (this.#open.get(client) ?? 0) < maxPerClient;
  }

  /** @param ended  resolves when the transaction is over; never rejects */
  count(client: string, ended: Promise<unknown>): void {
    this.#open.set(client, (this.#open.get(client) ?? 0) + 1);
    void ended.then(() => {
      const left = (this.#open.get(client) ?? 0) - 1;
      if (left > 0) this.#open.set(client, left);
      else this.#open.delete(client);
    });
  }
}
