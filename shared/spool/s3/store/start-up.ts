/**
 * What a process asks the store at its start: whether services may use the spool, which it asks until it is known, before the first
 * message is stored or listed; and what the store can do. Owns these requests and a timer, until close().
 */
import { whyClosed } from "../../closure.ts";
import type { SpoolFault } from "../../fault.ts";
import { coalesced } from "../../sequence.ts";
import { SpoolUnavailable } from "../../spool.ts";
import { orStoreError } from "./failures.ts";
import type { AbortableStore } from "./object-store.ts";
import { type ProbeReport, probeStore } from "./probe.ts";
import { StoreClosure } from "./store-closure.ts";

export interface StartUpOptions {
  store: AbortableStore;
  /** For objects of the probe, a key that nobody else uses. */
  probeKey: string;
  /** Opened to hand mail over: the spool is used without being asked about. */
  forHandover: boolean;
  onProbe(report: ProbeReport): void;
  onFault(fault: SpoolFault): void;
}

const probeAgainMs = 30_000;
/** A store that is there answers by then whether a commit that has begun may go on. */
const lastAnswerMs = 3000;

export class StartUp {
  readonly #options: StartUpOptions;
  readonly #givenUp = { probe: new AbortController(), admission: new AbortController() };
  readonly #probed: AbortableStore;
  readonly #closure: StoreClosure;
  #isAdmitted: boolean;
  #probing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastAnswer: NodeJS.Timeout | undefined;

  readonly #ask = coalesced(async () => {
    if (this.#isAdmitted) return;
    const closed = await orStoreError(this.#closure.read(), "whether the spool may be used is not known");
    if (closed !== undefined) throw new SpoolUnavailable(whyClosed(closed));
    this.#isAdmitted = true;
  });

  constructor(options: StartUpOptions) {
    this.#options = options;
    this.#probed = options.store.until(this.#givenUp.probe.signal);
    this.#closure = new StoreClosure(options.store.until(this.#givenUp.admission.signal));
    this.#isAdmitted = options.forHandover;
    this.#probe();
  }

  /** Resolves once it is known that services may use the spool. @throws SpoolUnavailable */
  async admitted(): Promise<void> {
    if (!this.#isAdmitted) await this.#ask();
  }

  /** What is not known by now is not asked any more: a store that does not answer must not keep a process from stopping. */
  giveUp(): void {
    clearTimeout(this.#timer);
    this.#givenUp.probe.abort();
    this.#lastAnswer ??= setTimeout(() => this.#givenUp.admission.abort(), lastAnswerMs);
  }

  async close(): Promise<void> {
    this.giveUp();
    clearTimeout(this.#lastAnswer);
    this.#givenUp.admission.abort();
    await this.#probing;
  }

  /** Until it succeeds, the store is used as one that can do the least. */
  #probe(): void {
    const { probeKey, onProbe, onFault } = this.#options;
    this.#probing = probeStore(this.#probed, probeKey).then(onProbe, (error: unknown) => {
      if (this.#givenUp.probe.signal.aborted) return;
      onFault({ kind: "background", doing: "finding out what the store can do", error });
      this.#timer = setTimeout(() => this.#probe(), probeAgainMs).unref();
    });
  }
}
