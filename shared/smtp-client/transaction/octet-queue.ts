/** Octets of a message between the client that sends it and the server that gets it. Pure. */

/** Octets that may wait for the remote server before the client has to. */
const highWaterOctets = 256 * 1024;

export class OctetQueue {
  #chunks: Buffer[] = [];
  #octets = 0;
  #release: (() => void) | undefined;

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** @returns a promise to wait for before the next chunk; absent: there is room */
  push(chunk: Buffer): Promise<void> | undefined {
    this.#chunks.push(chunk);
    this.#octets += chunk.length;
    if (this.#octets <= highWaterOctets) return undefined;
    return new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  /** All that is queued. The client goes on waiting until release(). */
  takeAll(): Buffer[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#octets = 0;
    return chunks;
  }

  /** Lets a client that waits go on. */
  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
