/** The large bodies that the messages of one segment refer to (pure): few, since each has 256 KiB or more. */
import type { StateIndex } from "../state-index.ts";

/** A message as the collector knows it. */
export interface IndexedMessage {
  readonly id: string;
  readonly recipients: number;
  /** Name of the body's own file. */
  readonly large: string | undefined;
}

export class LargeBodies {
  /** The messages that have one. */
  #messages: (IndexedMessage & { large: string })[] = [];

  /** Leaves out a message whose body is in its record. */
  add({ id, recipients, large }: IndexedMessage): void {
    if (large !== undefined) this.#messages.push({ id, recipients, large });
  }

  /** Names of those whose messages are settled. */
  settled(states: Pick<StateIndex, "isSettled">): string[] {
    return this.#messages
      .filter(({ id, recipients }) => states.isSettled(id, recipients))
      .map(({ large }) => large);
  }

  /** The body of a settled message was removed before its record. */
  drop(name: string): void {
    this.#messages = this.#messages.filter(({ large }) => large !== name);
  }

  *names(): Generator<string, void> {
    for (const { large } of this.#messages) yield large;
  }
}
