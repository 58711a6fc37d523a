/** A lease in Redis: of all processes that ask for it, one has it; when that one dies, another gets it. Owns nothing. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { RedisConnection } from "../../runtime/redis.ts";
import { Script } from "../../runtime/redis-script.ts";

/**
 * Takes or renews the lease; with 0 ms, gives it up. It runs also when Redis is full: the reconciler makes room. Another
 * owner's lease that lasts longer than one that begins now is from before Redis' clock was set back, and is cut.
 * KEYS: the lease. ARGV: owner, ms. Returns "renewed", "taken" or "others".
 */
const leaseScript = new Script(
  `
local owner = redis.call("GET", KEYS[1])
if owner and owner ~= ARGV[1] then
  if ARGV[2] ~= "0" and redis.call("PTTL", KEYS[1]) > tonumber(ARGV[2]) then redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
  return "others"
end
if ARGV[2] == "0" then
  redis.call("DEL", KEYS[1])
  return "renewed"
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return owner and "renewed" or "taken"
`,
  { whenFull: true },
);

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
    const answer = await leaseScript.run(this.#redis, [this.#key], [this.#owner, this.#durationMs]);
    if (answer !== "renewed" && answer !== "taken") {
      this.#heldUntilMs = 0;
      return "others";
    }
    const wasHeld = this.#heldUntilMs > 0;
    this.#heldUntilMs = askedAtMs + this.#durationMs;
    return answer === "renewed" && wasHeld ? "renewed" : "taken";
  }

  async release(): Promise<void> {
    this.#heldUntilMs = 0;
    await leaseScript.run(this.#redis, [this.#key], [this.#owner, 0]);
  }
}
