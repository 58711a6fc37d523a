/**
 * Permissions to burden a destination: how many connections at once, how many messages in a time. In one process here;
 * the same interface can be kept for the whole cluster.
 */
import type { DestinationLimits } from "./destination.ts";

export interface Slot {
  /** Harmless when repeated. */
  release(): void;
}

export interface Slots {
  /** A permission for one connection, or `undefined` when the destination has all it may have. */
  take(destination: string, limits: DestinationLimits): Slot | undefined | Promise<Slot | undefined>;
  /** Counts one message against the rate. @returns milliseconds to wait instead, 0 when it may go now */
  admit(destination: string, limits: DestinationLimits): number | Promise<number>;
}

interface Usage {
  connections: number;
  /** When the rate would be used up evenly: each message moves it on by its share of the period. */
  theoreticalMs: number;
}

/** Destinations known before those that are idle are forgotten: rates would keep them for ever. */
const sweepAt = 10_000;

export function createLocalSlots(now: () => number = Date.now): Slots {
  const usages = new Map<string, Usage>();
  const usageOf = (destination: string): Usage => {
    let usage = usages.get(destination);
    if (usage === undefined) {
      if (usages.size >= sweepAt) for (const [name, idle] of usages) forgetIdle(name, idle);
      usage = { connections: 0, theoreticalMs: 0 };
      usages.set(destination, usage);
    }
    return usage;
  };
  const forgetIdle = (destination: string, usage: Usage) => {
    if (usage.connections === 0 && usage.theoreticalMs <= now()) usages.delete(destination);
  };

  return {
    take(destination, limits) {
      const usage = usageOf(destination);
      if (usage.connections >= limits.connections) return undefined;
      usage.connections++;
      let released = false;
      return {
        release() {
          if (released) return;
          released = true;
          usage.connections--;
          forgetIdle(destination, usage);
        },
      };
    },

    /** The generic cell rate algorithm: `count` messages may go at once, then one in each `period / count`. */
    admit(destination, limits) {
      const { rate } = limits;
      if (rate === undefined) return 0;
      const usage = usageOf(destination);
      const nowMs = now();
      const shareMs = rate.periodMs / rate.count;
      const next = Math.max(usage.theoreticalMs, nowMs) + shareMs;
      const waitMs = next - nowMs - rate.periodMs;
      if (waitMs > 0) return Math.ceil(waitMs);
      usage.theoreticalMs = next;
      return 0;
    },
  };
}
