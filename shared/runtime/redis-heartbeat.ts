/**
 * Ends a connection whose server has stopped answering: a server that hangs, or a host that vanished without a reset,
 * leaves the connection open for many minutes. Reconnecting then finds the server that has taken over. Owns a timer while
 * the connection stands.
 */
import type { Socket } from "node:net";
import type { Redis } from "ioredis";
import type { Patience } from "./patience.ts";

const everyMs = 1_000;
/** Of a server that was ready. Longer than a blocking command lasts: see longestBlockSeconds. */
const silentMs = 4_000;
/** Of a server that was just connected. A hung one still accepts connections, for the kernel does that. */
export const greetingMs = 2_000;
/** A silence is a long one from this share of the limit on: a blocking command alone takes half of it. */
const calmShare = 0.75;
/** The longest that a blocking command of ours may block: the answer to a PING comes after it. */
export const longestBlockSeconds = 2;

/** Why the connection was ended. */
export class SilentServer extends Error {
  override name = "SilentServer";
  constructor(ms: number) {
    super(`no answer for ${ms / 1_000} s`);
  }
}

/**
 * Asks the server every second while it is connected, and ends the connection when nothing comes back. Who was ended like
 * that gets longer the next time: see Patience.
 */
export function endWhenSilent(redis: Redis, patience: Patience): void {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => clearInterval(timer);
  redis.on("connect", () => {
    stop();
    const stream = (redis as unknown as { stream: Socket }).stream;
    let tickedAtMs = performance.now();
    let heardAtMs = tickedAtMs;
    let octetsRead = stream.bytesRead;
    let isAsking = false;
    timer = setInterval(() => {
      const nowMs = performance.now();
      const lateMs = nowMs - tickedAtMs - everyMs;
      tickedAtMs = nowMs;
      // This process itself stood still: what the server answered meanwhile has not been read yet.
      if (lateMs > everyMs) heardAtMs += lateMs;
      if (stream.bytesRead !== octetsRead) heardAtMs = nowMs;
      octetsRead = stream.bytesRead;
      const isReady = redis.status === "ready";
      const usualMs = isReady ? silentMs : greetingMs;
      const silenceMs = nowMs - heardAtMs;
      if (isReady) patience.beat(lateMs < everyMs && silenceMs < calmShare * silentMs);
      if (silenceMs >= patience.of(usualMs)) {
        stop();
        stream.destroy(new SilentServer(patience.of(usualMs)));
        patience.exceeded();
        return;
      }
      if (isAsking || !isReady) return;
      isAsking = true;
      const end = (): void => {
        isAsking = false;
      };
      redis.ping().then(end, end);
    }, everyMs);
    timer.unref();
  });
  redis.on("close", stop);
  redis.on("end", stop);
}
