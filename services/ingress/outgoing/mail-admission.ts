/** Asks once for each MAIL whether the client may begin another message; the answer may come later. Pure: it calls what it is given. */

export class MailAdmission {
  readonly #ask: () => boolean | Promise<boolean>;
  readonly #decidedLater: () => void;
  /** For the MAIL that is read next. */
  #decision: boolean | undefined;

  /** @param decidedLater  called when an answer has come that was not there at once */
  constructor(ask: () => boolean | Promise<boolean>, decidedLater: () => void) {
    this.#ask = ask;
    this.#decidedLater = decidedLater;
  }

  /** @returns `undefined` while that is being decided: the MAIL is to be read again then */
  decide(): boolean | undefined {
    if (this.#decision !== undefined) return this.#decision;
    const decision = this.#ask();
    if (typeof decision === "boolean") return decision;
    void decision.then((isAdmitted) => {
      this.#decision = isAdmitted;
      this.#decidedLater();
    });
    return undefined;
  }

  /** That MAIL has been read: the next one is asked for anew. */
  forget(): void {
    this.#decision = undefined;
  }
}
