/**
 * Redis for work that cannot wait: an answer comes within half a second, or Redis counts as away for a second. The
 * connection is the caller's to end.
 */
import type { RedisConnection } from "../runtime/redis.ts";
import type { Script } from "../runtime/redis-script.ts";
import { settlesWithin, withTimeout } from "../runtime/with-timeout.ts";

/** Mail waits no longer than that for Redis. */
const usualAnswerMs = 500;
/** How long nothing is asked after a failure: not each message waits for its own. */
const restMs = 1_000;

export class RedisWithDeadline {
  readonly connection: RedisConnection;
  readonly #answerMs: number;
  #restsUntilMs = 0;
  /** Until the first connection stands, or has not come about in time: requests right after the start wait for it. */
  starting: Promise<unknown> | undefined;

  constructor(connection: RedisConnection, answerMs = usualAnswerMs) {
    this.connection = connection;
    this.#answerMs = answerMs;
    if (connection.status === "ready") return;
    const ready = new Promise((resolve) => connection.once("ready", resolve));
    this.starting = settlesWithin(ready, this.#answerMs).then(() => {
      this.starting = undefined;
    });
  }

  /** Whether to ask at all. */
  get isAvailable(): boolean {
    return this.connection.status === "ready" && performance.now() >= this.#restsUntilMs;
  }

  /**
   * @param read  makes sense of the script's answer; when it throws, that is a failure too
   * @returns `undefined` when Redis fails or does not answer in time; whether the script has run is then not known
   */
  async run<T>(
    script: Script,
    keys: string[],
    args: (string | number)[],
    read: (answer: unknown) => T,
  ): Promise<T | undefined> {
    try {
      return read(await withTimeout(script.run(this.connection, keys, args), this.#answerMs));
    } catch {
      this.noteFailure();
      return undefined;
    }
  }

  /** The connection's own watch logs the reason. */
  readonly noteFailure = (): void => {
    this.#restsUntilMs = performance.now() + restMs;
  };
}
