/** Redis for who cannot wait: an answer in time, or none for a while. The connection is the caller's to end. */
import type { RedisConnection } from "../runtime/redis.ts";
import type { Script } from "../runtime/redis-script.ts";

/** Mail waits no longer than that for Redis. */
const answerMs = 500;
/** After a failure nobody asks for so long: not each message waits for its own. */
const restMs = 1_000;

export class RedisWithDeadline {
  readonly connection: RedisConnection;
  #restsUntilMs = 0;
  /** Until the first connection stands, or has not come about in time: what is asked right after the start waits. */
  starting: Promise<void> | undefined;

  constructor(connection: RedisConnection) {
    this.connection = connection;
    if (connection.status === "ready") return;
    this.starting = new Promise((resolve) => {
      const timer = setTimeout(resolve, answerMs).unref();
      connection.once("ready", () => {
        clearTimeout(timer);
        resolve();
      });
    });
    void this.starting.then(() => {
      this.starting = undefined;
    });
  }

  /** Whether to ask at all. */
  get isThere(): boolean {
    return this.connection.status === "ready" && performance.now() >= this.#restsUntilMs;
  }

  /** @throws Error of Redis, or when there is no answer in time; whether it was done is then not known */
  run(script: Script, keys: string[], args: (string | number)[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error("Redis does not answer in time"));
      // When it was us who were busy, the answer is here by now, and is read before this.
      const timer = setTimeout(() => setImmediate(late), answerMs);
      script
        .run(this.connection, keys, args)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
  }

  /** What run() threw. The connection's own watch tells the log. */
  readonly failed = (_: unknown): void => {
    this.#restsUntilMs = performance.now() + restMs;
  };
}
