/** The memory that open envelopes take, in each session and in the whole process. Pure. */
import type { Recipient } from "../../../shared/mail/envelope.ts";

/** Measured: what an envelope's own objects, and those of each recipient with its route, take besides their text. */
const recipientOctets = 512;
/** Of `limits.recipients` times so much an envelope may have: twice what ordinary addresses take. */
const envelopeOctetsPerRecipient = 1024;

/** What all sessions of a process may take for their envelopes (`limits.envelopes`; 0: no limit). */
export class EnvelopeMemory {
  #maxOctets = 0;
  #maxEnvelopeOctets = 0;
  #octets = 0;

  constructor(limits: { envelopes: number; recipients: number }) {
    this.limit(limits);
  }

  /** From now on; what is in use stays in use. */
  limit({ envelopes, recipients }: { envelopes: number; recipients: number }): void {
    this.#maxOctets = envelopes === 0 ? Number.POSITIVE_INFINITY : envelopes;
    this.#maxEnvelopeOctets = recipients * envelopeOctetsPerRecipient;
  }

  /** In use now. */
  get octets(): number {
    return this.#octets;
  }

  /** @returns the memory of one envelope, nothing of which is in use yet */
  open(): EnvelopeShare {
    let held = 0;
    return {
      take: (octets) => {
        if (held + octets > this.#maxEnvelopeOctets || this.#octets + octets > this.#maxOctets) return false;
        held += octets;
        this.#octets += octets;
        return true;
      },
      release: () => {
        this.#octets -= held;
        held = 0;
      },
    };
  }
}

/** What one envelope takes. */
export interface EnvelopeShare {
  /** @returns false when it would be too much */
  take(octets: number): boolean;
  /** The envelope is gone. Harmless when repeated. */
  release(): void;
}

/** What a recipient takes: its text stands in the envelope, and again where repeated recipients are looked up. */
export function octetsOf({ address, orcpt = "" }: Recipient): number {
  return recipientOctets + 2 * (address.length + orcpt.length);
}
