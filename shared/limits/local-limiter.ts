/** The limits of one process, and those that each process keeps while Redis is away. */
import type { Rate } from "../config/values.ts";
import { type DeadDestinationPolicy, DeadDestinations } from "./dead-destinations.ts";
import {
  type Limiter,
  type RetrySlotRequest,
  type Slot,
  type SlotAnswer,
  type SlotRequest,
  shareOf,
} from "./limiter.ts";
import { localRetrySlots } from "./retry-slots.ts";

/** Without waiting for anybody. */
export interface LocalLimiter extends Limiter {
  takeSlot(request: SlotRequest): SlotAnswer;
  admitMessage(destination: string, rate: Rate): number;
  takeRetrySlot(line: string, request: RetrySlotRequest): number;
}

interface Usage {
  connections: number;
  /** When the rate would be used up evenly: each message moves it on by its share of the period. */
  theoreticalMs: number;
  /** When a host answered last. */
  answeredMs: number;
}

/** Destinations known before those that are idle are forgotten: rates would keep them for ever. */
const sweepAt = 10_000;

export interface LocalLimiterOptions {
  /** Absent: no silence is remembered. */
  deadDestinations?: DeadDestinationPolicy;
  /** Epoch milliseconds. */
  now?: () => number;
  /** 0..1 */
  random?: () => number;
}

export function createLocalLimiter(options: LocalLimiterOptions = {}): LocalLimiter {
  const { now = Date.now, random = Math.random } = options;
  const deadDestinations = new DeadDestinations(options.deadDestinations ?? { firstMs: 0, maxMs: 0 }, now);
  const takeRetrySlot = localRetrySlots(now, random);
  const usages = new Map<string, Usage>();
  const usageOf = (destination: string): Usage => {
    let usage = usages.get(destination);
    if (usage === undefined) {
      if (usages.size >= sweepAt) for (const [name, idle] of usages) forgetIdle(name, idle);
      usage = { connections: 0, theoreticalMs: 0, answeredMs: Number.NEGATIVE_INFINITY };
      usages.set(destination, usage);
    }
    return usage;
  };
  const forgetIdle = (destination: string, usage: Usage) => {
    if (usage.connections === 0 && usage.theoreticalMs <= now()) usages.delete(destination);
  };

  return {
    takeSlot(request) {
      const { destination, reachabilityKey, ignoreDeadCache } = request;
      const diagnosis =
        reachabilityKey === undefined || ignoreDeadCache === true
          ? undefined
          : deadDestinations.of(reachabilityKey);
      if (diagnosis !== undefined) return { kind: "dead", diagnosis };
      const usage = usageOf(destination);
      if (usage.connections >= shareOf(request)) return { kind: "full" };
      usage.connections++;
      if (reachabilityKey !== undefined) deadDestinations.probed(reachabilityKey);
      let released = false;
      const slot: Slot = {
        release() {
          if (released) return;
          released = true;
          usage.connections--;
          forgetIdle(destination, usage);
        },
      };
      return { kind: "slot", slot };
    },

    /** The generic cell rate algorithm: `count` messages may go at once, then one in each `period / count`. */
    admitMessage(destination, rate) {
      const usage = usageOf(destination);
      const nowMs = now();
      const next = Math.max(usage.theoreticalMs, nowMs) + rate.periodMs / rate.count;
      const waitMs = next - nowMs - rate.periodMs;
      if (waitMs > 0) return Math.ceil(waitMs);
      usage.theoreticalMs = next;
      return 0;
    },

    refundMessage(destination, rate) {
      const usage = usages.get(destination);
      if (usage !== undefined) usage.theoreticalMs -= rate.periodMs / rate.count;
    },

    takeRetrySlot,
    exceedsShare: () => false,

    reportAnswer(destination, reachabilityKey) {
      deadDestinations.clear(reachabilityKey);
      const usage = usages.get(destination);
      if (usage !== undefined) usage.answeredMs = now();
    },

    reportNoAnswer(destination, reachabilityKey, diagnosis, startedMs) {
      // Others get through: it is busy, or the network is bad.
      if ((usages.get(destination)?.answeredMs ?? 0) < startedMs)
        deadDestinations.mark(reachabilityKey, diagnosis, startedMs);
    },
  };
}
