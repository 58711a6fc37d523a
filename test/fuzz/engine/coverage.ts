/** Which blocks of our own source have run: V8's precise coverage, by which inputs that reach something new are found. */
import inspector from "node:inspector";

/** Owns a session of the inspector, in the thread that calls it. */
export class Coverage {
  readonly #session = new inspector.Session();
  readonly #seen = new Set<string>();
  readonly #root: string;

  /** @param root  URL of the directory whose source counts */
  constructor(root: string) {
    this.#root = root;
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Blocks seen so far. */
  get size(): number {
    return this.#seen.size;
  }

  /** Forgets what has run since the last call. */
  skip(): void {
    this.#post("Profiler.takePreciseCoverage");
  }

  /** @param keeps  whether what is new counts as seen from now on */
  hasNew(keeps: boolean): boolean {
    const taken = this.#post("Profiler.takePreciseCoverage") as {
      result: inspector.Profiler.ScriptCoverage[];
    };
    let isNew = false;
    for (const { url, functions } of taken.result) {
      if (!url.startsWith(this.#root) || url.includes("/node_modules/") || url.includes("/test/")) continue;
      for (const { ranges } of functions) {
        // The ranges of a function are nested: those that did not run have a count of 0.
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue;
          const block = `${url}:${startOffset}-${endOffset}`;
          if (this.#seen.has(block)) continue;
          isNew = true;
          if (keeps) this.#seen.add(block);
        }
      }
    }
    return isNew;
  }

  close(): void {
    this.#session.disconnect();
  }

  /** Sessions of the own thread answer at once. */
  #post(method: string, params: object = {}): unknown {
    let answer: unknown;
    this.#session.post(method, params, (error, result) => {
      if (error !== null) throw error;
      answer = result;
    });
    return answer;
  }
}
