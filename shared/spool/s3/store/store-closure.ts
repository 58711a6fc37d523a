/**
 * Closes the spool of a store: two objects, each written once. `closed` says why, and is there as long as services may not
 * use the spool; `committed-ID` says that the mail is another spool's already, and means nothing without the first.
 */
import { z } from "zod";
import type { Closed, Closure } from "../../closure.ts";
import { closedKey, committedKey } from "./names.ts";
import type { ObjectStore } from "./object-store.ts";

const closedSchema = z.object({
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  role: z.enum(["from", "to"]),
  other: z.string(),
});

export class StoreClosure implements Closure {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async read(): Promise<Closed | undefined> {
    const octets = await this.#store.get(closedKey);
    return octets && closedSchema.parse(JSON.parse(octets.toString()));
  }

  close(closed: Closed): Promise<void> {
    return this.#store.put(closedKey, Buffer.from(JSON.stringify({ version: 1, ...closed })));
  }

  async commit(id: string): Promise<void> {
    if (await this.isCommitted(id)) return;
    await this.#store.put(committedKey(id), Buffer.from("committed\n"));
  }

  async isCommitted(id: string): Promise<boolean> {
    return (await this.#store.head(committedKey(id))) !== undefined;
  }

  async open(id: string): Promise<void> {
    if ((await this.read())?.id === id) await this.#store.remove([closedKey]);
    await this.#store.remove([committedKey(id)]);
  }
}
