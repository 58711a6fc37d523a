/**
 * How much time the client of an inline delivery has. A slow one must not hold a server's connection: it gets the time of
 * so many steps to name the recipients, and of so many for the whole transaction, with more for a large message at this
 * pace.
 */
const maxStepsBeforeData = 2;
const maxSteps = 6;
const minOctetsPerSecond = 16 * 1024;

export class ClientPace {
  readonly #begunAtMs: number;
  readonly #stepMs: number;
  readonly #now: () => number;

  /** Begins now: a server has accepted MAIL. @param stepMs  for each step that the client may take */
  constructor(stepMs: number, now: () => number) {
    this.#begunAtMs = now();
    this.#stepMs = stepMs;
    this.#now = now;
  }

  /**
   * @param isNaming  the client has not come to the message yet
   * @param octets  of the message so far
   * @returns less than 0 when the client was too slow
   */
  timeLeftMs(isNaming: boolean, octets: number): number {
    const steps = isNaming ? maxStepsBeforeData : maxSteps;
    const allowedMs = steps * this.#stepMs + (octets / minOctetsPerSecond) * 1000;
    return this.#begunAtMs + allowedMs - this.#now();
  }
}
