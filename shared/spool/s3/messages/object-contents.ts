/** Which messages an object of the store contains, as far as freeing its space needs it (pure). */
import { IdList } from "../../records/id-list.ts";
import { type IndexedMessage, LargeBodies } from "../../records/large-bodies.ts";
import type { TimedSettlement } from "../../records/record.ts";
import type { StateIndex } from "../../state-index.ts";

export class ObjectContents {
  /** Octets of the object, and whether some of them are no record. */
  readonly cursor: { position: number; damaged: boolean } = { position: 0, damaged: false };
  readonly messages = new IdList();
  readonly large = new LargeBodies();
  /** Settlements of other messages by its records. */
  readonly settlements: TimedSettlement[] = [];

  add(message: IndexedMessage): void {
    this.messages.add(message.id, message.recipients);
    this.large.add(message);
  }

  /** How many of its messages are not settled; stops counting above `most`. */
  countUnsettled(states: StateIndex, most: number): number {
    let count = 0;
    for (const { id, recipients } of this.messages.entries())
      if (!states.isSettled(id, recipients) && ++count > most) break;
    return count;
  }
}
