/** How many recipients one notification tells of: all of them, unless it would become too large for servers and readers. Pure. */
import { recipientOctets } from "./delivery-status.ts";
import type { DsnRecipient } from "./dsn.ts";

/** A recipient that is to be told of. */
export interface Owed {
  /** Into `envelope.recipients`. */
  index: number;
  recipient: DsnRecipient;
}

/** Octets of the status part: a thousand ordinary recipients with all their fields, or three hundred of the longest. */
const maxStatus = 400_000;

/** @returns at least one portion when anything is owed */
export function inBatches(owed: readonly Owed[]): Owed[][] {
  const batches: Owed[][] = [];
  let batch: Owed[] = [];
  let octets = 0;
  for (const one of owed) {
    const more = recipientOctets(one.recipient);
    if (octets + more > maxStatus || batch.length === 0) {
      batch = [];
      batches.push(batch);
      octets = 0;
    }
    batch.push(one);
    octets += more;
  }
  return batches;
}
