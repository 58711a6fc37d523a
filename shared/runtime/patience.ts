/**
 * How long to wait for a server. A machine that is short of CPU answers late, and a limit that always ends what would have
 * succeeded a moment later never lets a connection come about. Pure.
 */

const longest = 8;
/** So many heartbeats in a row without a long silence: the server is as quick as usual. */
const calmBeats = 10;

export class Patience {
  #factor = 1;
  #calm = 0;

  /** @returns the limit for now, 1 to 8 times the usual one */
  of(usualMs: number): number {
    return usualMs * this.#factor;
  }

  /** Something was ended because it took longer than its limit: each limit is twice as long from now on. */
  exceeded(): void {
    this.#factor = Math.min(2 * this.#factor, longest);
    this.#calm = 0;
  }

  /** A heartbeat of a connection that is ready. After ten calm ones in a row the limits are the usual ones again. */
  beat(isCalm: boolean): void {
    this.#calm = isCalm ? this.#calm + 1 : 0;
    if (this.#calm >= calmBeats) this.#factor = 1;
  }
}
