/** A lease in Redis: of all processes that ask for it, one has it; when that one dies, another gets it. Owns nothing. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";

/** Sets a key's expiry if it still has our value; with 0, deletes it. KEYS: the key. ARGV: value, ms. Returns 1 or 0. */
const keepLease = new Script(`
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == "0" then return redis.call("DEL", KEYS[1]) end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])
`);

export class Lease {
  readonly #redis: RedisConnection;
  readonly #key: string;
  readonly #durationMs: number;
  /** Shows operators which process has it. */
  readonly #owner = `${hostname()}/${process.pid}/${randomUUID()}`;
  /** By our own clock, counted from before Redis was asked. */
  #heldUntilMs = 0;

  constructor(redis: RedisConnection, key: string, durationMs: number) {
    this.#redis = redis;
    this.#key = key;
    this.#durationMs = durationMs;
  }

  get held(): boolean {
    return performance.now() < this.#heldUntilMs;
  }

  /**
   * Takes or renews it.
   * @returns `taken` when it was not ours before
   * @throws Error of Redis; we still have it until it runs out
   */
  async renew(): Promise<"taken" | "renewed" | "others"> {
    const askedAtMs = performance.now();
    const renewed = await keepLease.run(this.#redis, [this.#key], [this.#owner, this.#durationMs]);
    if (renewed === 1) {
      const wasHeld = this.#heldUntilMs > 0;
      this.#heldUntilMs = askedAtMs + this.#durationMs;
      return wasHeld ? "renewed" : "taken";
    }
    this.#heldUntilMs = 0;
    const taken = await this.#redis.set(this.#key, this.#owner, "PX", this.#durationMs, "NX");
    if (taken !== "OK") return "others";
    this.#heldUntilMs = askedAtMs + this.#durationMs;
    return "taken";
  }

  async release(): Promise<void> {
    this.#heldUntilMs = 0;
    await keepLease.run(this.#redis, [this.#key], [this.#owner, 0]);
  }
}
