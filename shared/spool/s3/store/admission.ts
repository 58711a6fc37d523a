/** Whether services may use the spool: asked of the store until it is known, before the first message is stored or listed. */
import { type Closure, whyClosed } from "../../closure.ts";
import { coalesced } from "../../sequence.ts";
import { SpoolUnavailable } from "../../spool.ts";
import { orStoreError } from "./failures.ts";

export class Admission {
  readonly #closure: Closure;
  #isAdmitted: boolean;
  readonly #ask = coalesced(async () => {
    if (this.#isAdmitted) return;
    const closed = await orStoreError(this.#closure.read(), "whether the spool may be used is not known");
    if (closed !== undefined) throw new SpoolUnavailable(whyClosed(closed));
    this.#isAdmitted = true;
  });

  /** @param isAdmitted  without being asked: to hand mail over */
  constructor(closure: Closure, isAdmitted: boolean) {
    this.#closure = closure;
    this.#isAdmitted = isAdmitted;
  }

  /** Resolves once it is known that services may use the spool. @throws SpoolUnavailable */
  async admit(): Promise<void> {
    if (!this.#isAdmitted) await this.#ask();
  }
}
