/** An exponentially weighted average: recent observations count more, and none is kept. Pure. */

/** Weight of the newest observation. */
const newestWeight = 0.2;

export class Average {
  #value: number | undefined;

  /** `undefined` before the first observation. */
  get value(): number | undefined {
    return this.#value;
  }

  observe(observation: number): void {
    this.#value =
      this.#value === undefined ? observation : this.#value + newestWeight * (observation - this.#value);
  }
}
