/** Runs a target: its corpus, its long inputs, its properties, and then inputs made from those that reached something new. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { pick, type Random, seeded } from "../../unit/ingress/outgoing/model-dialogue.ts";
import { corpusOf } from "./corpus.ts";
import { Coverage } from "./coverage.ts";
import { findSlow } from "./growth.ts";
import { below, mutate, repeated } from "./mutate.ts";
import type { Order, Outcome } from "./order.ts";
import { octets, type Target } from "./target.ts";

export type Run = (input: Buffer) => void | Promise<void>;

/** Inputs between two looks at the coverage, which take a millisecond or more. */
const batchSize = 200;
/** A target must not keep what it has read: octets of heap that may be left over. */
const maxGrowth = 64 * 2 ** 20;

/** Garbage is not growth, and there may be 100 MB of it at any time. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
}

class Failed extends Error {
  readonly input: Buffer | undefined;

  constructor(what: string, input?: Buffer) {
    // An assertion may quote megabytes.
    super(what.split("\n").slice(0, 30).join("\n").slice(0, 3000));
    this.input = input;
  }
}

export async function explore(order: Order, target: Target, run: Run): Promise<Outcome> {
  const exploration = new Exploration(order, target, run);
  try {
    if (order.only !== undefined) await exploration.check(Buffer.from(order.only));
    else await exploration.all();
    const { runs, cases, blocks, reached } = exploration;
    return { kind: "passed", runs, cases, blocks, reached };
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    const { message: what, input } = error;
    return { kind: "failed", what, runs: exploration.runs, ...(input === undefined ? {} : { input }) };
  }
}

class Exploration {
  runs = 0;
  cases = 0;
  /** Inputs that no one gave and that reached something new. */
  readonly reached: Uint8Array[] = [];
  readonly #order: Order;
  readonly #target: Target;
  readonly #run: Run;
  readonly #random: Random;
  readonly #pool: Buffer[] = [];
  readonly #coverage: Coverage | undefined;

  constructor(order: Order, target: Target, run: Run) {
    this.#order = order;
    this.#target = target;
    this.#run = run;
    this.#random = seeded(order.seed);
    this.#coverage = order.explores ? new Coverage(new URL("../../../", import.meta.url).href) : undefined;
  }

  get blocks(): number {
    return this.#coverage?.size ?? 0;
  }

  async all(): Promise<void> {
    const { seeds, maxOctets } = this.#target;
    for (const { name, input } of corpusOf(this.#order.target)) await this.#begin(input, name);
    for (const seed of seeds) await this.#begin(octets(seed), "a seed");
    if (this.#pool.length === 0) this.#pool.push(Buffer.alloc(0));
    this.#coverage?.hasNew(true);
    if (this.#order.skipsLong !== true) await this.#runLong();
    await this.#runProperties();
    const { forMs = 0 } = this.#order;
    await this.#runMutants(forMs * 0.7);
    if (this.#order.explores) {
      const { words = [] } = this.#target;
      const slow = await findSlow(this.#pool, words, maxOctets, this.#random, forMs * 0.3, (input) =>
        this.check(input),
      );
      if (slow !== undefined) throw new Failed(slow.what, slow.input);
    }
  }

  /** @throws Failed */
  async check(input: Buffer): Promise<void> {
    this.runs++;
    try {
      const pending = this.#run(input);
      if (pending !== undefined) await pending;
    } catch (error) {
      throw new Failed(error instanceof Error ? (error.stack ?? error.message) : String(error), input);
    }
  }

  async #begin(input: Buffer, name: string): Promise<void> {
    await this.check(input).catch((error: Failed) => {
      throw new Failed(`${name}: ${error.message}`, input);
    });
    this.#pool.push(input);
  }

  async #runLong(): Promise<void> {
    const { long = [], longOctets = 2 ** 20 } = this.#target;
    for (const [before, unit, behind] of long) {
      const many = repeated(octets(unit), Math.floor(longOctets / unit.length));
      await this.check(Buffer.concat([octets(before), many, octets(behind)]));
    }
  }

  async #runProperties(): Promise<void> {
    for (const [name, property] of Object.entries(this.#target.properties ?? {})) {
      const details = await fc.check(property, { seed: this.#order.seed | 0, numRuns: this.#order.cases });
      this.cases += details.numRuns;
      if (details.failed) throw new Failed(`${name}: ${await fc.asyncDefaultReportMessage(details)}`);
    }
  }

  /** @param forMs  where the order does not say how many */
  async #runMutants(forMs: number): Promise<void> {
    const runs = (this.#order.runs ?? Number.POSITIVE_INFINITY) / (this.#target.cost ?? 1);
    const endMs = Number.isFinite(runs) ? Number.POSITIVE_INFINITY : performance.now() + forMs;
    let batch: Buffer[] = [];
    let heap: number | undefined;
    for (let left = runs; left > 0 && performance.now() < endMs; left--) {
      const input = this.#mutant();
      const failure = await this.check(input).then(
        () => undefined,
        (error: Failed) => error,
      );
      if (failure !== undefined) throw await this.#smaller(failure);
      if (this.#coverage === undefined) continue;
      batch.push(input);
      if (batch.length < batchSize) continue;
      await this.#keepNew(batch);
      batch = [];
      if (this.runs > 20_000) heap ??= this.#usedHeap();
    }
    const growth = heap === undefined ? 0 : this.#usedHeap() - heap;
    if (growth > maxGrowth) throw new Failed(`memory grew by ${growth >> 20} MB over ${this.runs} inputs`);
  }

  /** Without what is kept here. */
  #usedHeap(): number {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers - this.#pool.reduce((sum, input) => sum + input.length, 0);
  }

  #mutant(): Buffer {
    const random = this.#random;
    // The latest have reached what is least known.
    const [parent, other] = [this.#pick(random() < 0.5), this.#pick(false)];
    const { words = [], maxOctets, repair } = this.#target;
    const input = mutate(parent, { words, other, maxOctets }, random);
    return repair === undefined || random() < 0.5 ? input : repair(input);
  }

  #pick(isLate: boolean): Buffer {
    const from = isLate ? Math.max(0, this.#pool.length - 20) : 0;
    return this.#pool[from + below(this.#pool.length - from, this.#random)] ?? Buffer.alloc(0);
  }

  async #keepNew(batch: readonly Buffer[]): Promise<void> {
    if (this.#coverage?.hasNew(false) !== true) return;
    for (const input of batch) {
      await this.check(input);
      if (!this.#coverage.hasNew(true)) continue;
      this.#pool.push(input);
      if (input.length <= 2000) this.reached.push(input);
    }
  }

  /** Takes pieces away as long as the input fails in the same way. */
  async #smaller(failure: Failed): Promise<Failed> {
    let smallest = failure;
    for (let tries = 0; tries < 3000; tries++) {
      const { input } = smallest;
      if (input === undefined || input.length === 0) break;
      const at = below(input.length, this.#random);
      const length = 1 + below(pick(this.#random, [1, 4, 64, input.length - at]), this.#random);
      const shorter = Buffer.concat([input.subarray(0, at), input.subarray(at + length)]);
      const again = await this.check(shorter).then(
        () => undefined,
        (error: Failed) => error,
      );
      if (again !== undefined && firstLine(again) === firstLine(failure)) smallest = again;
    }
    return smallest;
  }
}

function firstLine({ message }: Failed): string {
  return message.split("\n", 1)[0] ?? "";
}
