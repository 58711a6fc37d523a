/** Whether a worker may take jobs: not while Redis is out of reach, nor for a moment after. Shut at first. Owns one timer until close(). */

export class JobGate {
  /** Absent while it is open. */
  #opening: PromiseWithResolvers<void> | undefined = Promise.withResolvers();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  get isOpen(): boolean {
    return this.#opening === undefined;
  }

  /** Resolves when jobs may be taken. */
  async opened(): Promise<void> {
    await this.#opening?.promise;
  }

  shut(): void {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#opening ??= Promise.withResolvers();
  }

  openAfter(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#opening !== undefined) this.#timer = setTimeout(() => this.#open(), ms);
  }

  /** Opens it for good. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#open();
  }

  #open(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
  }
}
