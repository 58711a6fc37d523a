/** Ids of messages with their numbers of recipients, in 20 octets each instead of 80: there may be millions. Pure. */

const firstOctets = 4096;
/** A number of recipients that is known only as "too many to ever be settled". */
const lastCount = 0xffff_ffff;

export class IdList {
  #bytes = Buffer.alloc(0);
  #used = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Octets that it takes. */
  get bytes(): number {
    return this.#bytes.length;
  }

  /** @param id  at most 255 octets of Latin-1; every queue id is */
  add(id: string, recipients: number): void {
    const needed = this.#used + 1 + id.length + 5;
    if (needed > this.#bytes.length) this.#grow(needed);
    this.#used = this.#bytes.writeUInt8(id.length, this.#used);
    this.#used += this.#bytes.write(id, this.#used, "latin1");
    // One octet for nearly all of them.
    if (recipients < 255) this.#used = this.#bytes.writeUInt8(recipients, this.#used);
    else {
      this.#used = this.#bytes.writeUInt8(255, this.#used);
      this.#used = this.#bytes.writeUInt32LE(Math.min(recipients, lastCount), this.#used);
    }
    this.#length++;
  }

  /** Nothing more will be added: gives back the memory that is not used. */
  trim(): void {
    if (this.#bytes.length > this.#used) this.#bytes = Buffer.from(this.#bytes.subarray(0, this.#used));
  }

  *ids(): Generator<string, void> {
    for (const { id } of this.entries()) yield id;
  }

  /** In the order in which they were added. */
  *entries(): Generator<{ id: string; recipients: number }, void> {
    for (let at = 0; at < this.#used; ) {
      const end = at + 1 + this.#bytes.readUInt8(at);
      const id = this.#bytes.toString("latin1", at + 1, end);
      const count = this.#bytes.readUInt8(end);
      const recipients = count < 255 ? count : this.#bytes.readUInt32LE(end + 1);
      at = end + (count < 255 ? 1 : 5);
      yield { id, recipients };
    }
  }

  #grow(needed: number): void {
    // Not from the pool: it would keep eight kilobytes for each short list.
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, firstOctets, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#used);
    this.#bytes = grown;
  }
}
