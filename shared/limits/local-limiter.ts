/** Limits of one process: all that there are without Redis, and those that each process keeps while Redis is away. */
import type { Rate } from "../config/values.ts";
import { type DeadDestinationPolicy, DeadDestinations } from "./dead-destinations.ts";
import { type LearntLimit, learntLimit, shrink } from "./learnt-limit.ts";
import {
  createSlot,
  type Limiter,
  paceOf,
  type RetrySlotRequest,
  type SlotAnswer,
  type SlotRequest,
  shareOf,
} from "./limiter.ts";
import { LocalRetrySlots } from "./retry-slots.ts";

/** Answers at once. */
export interface LocalLimiter extends Limiter {
  takeSlot(request: SlotRequest): SlotAnswer;
  admitMessage(destination: string, rate: Rate): number;
  takeRetrySlot(retryQueue: string, request: RetrySlotRequest): number;
  /** @param inUse  absent: the slots that are taken here */
  reportFull(destination: string, connections: number, inUse?: number): boolean;
  /** From how many connections in use on the request gets none. */
  shareOf(request: SlotRequest): number;
}

interface Usage {
  connections: number;
  /** When the rate would be used up evenly: each message moves it on by its share of the period. */
  theoreticalMs: number;
  /** When a host answered last. */
  answeredMs: number;
  /** Absent: it has not refused a connection lately. */
  learnt?: LearntLimit;
}

/** Sums of fractions of milliseconds are right to less than that. */
const roundingMs = 0.001;

/** What was learnt is kept for so long where a destination has no connection. */
const learntForMs = 3_600_000;

/** Destinations known before those that are idle are forgotten: rates would keep them for ever. */
const sweepAt = 10_000;

export interface LocalLimiterOptions {
  /** Absent: no dead destination is remembered. */
  deadDestinations?: DeadDestinationPolicy;
  /** Epoch milliseconds. */
  now?: () => number;
  /** 0..1 */
  random?: () => number;
}

export function createLocalLimiter(options: LocalLimiterOptions = {}): LocalLimiter {
  const { now = Date.now, random = Math.random } = options;
  const deadDestinations = new DeadDestinations(options.deadDestinations ?? { firstMs: 0, maxMs: 0 }, now);
  const retrySlots = new LocalRetrySlots(now, random);
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
    const isLearnt = usage.learnt !== undefined && now() - usage.learnt.atMs < learntForMs;
    if (usage.connections === 0 && usage.theoreticalMs <= now() && !isLearnt) usages.delete(destination);
  };
  const share = (request: SlotRequest): number => {
    const learnt = usages.get(request.destination)?.learnt;
    return shareOf(request, learntLimit(learnt, request.connections, now()));
  };

  return {
    takeSlot(request) {
      const { destination, reachabilityKey, ignoreDeadCache } = request;
      const diagnosis =
        reachabilityKey === undefined || ignoreDeadCache === true
          ? undefined
          : deadDestinations.failureOf(reachabilityKey);
      if (diagnosis !== undefined) return { kind: "dead", diagnosis };
      const usage = usageOf(destination);
      if (usage.connections >= share(request)) return { kind: "full" };
      usage.connections++;
      if (reachabilityKey !== undefined) deadDestinations.startProbe(reachabilityKey);
      const slot = createSlot(() => {
        usage.connections--;
        forgetIdle(destination, usage);
      });
      return { kind: "slot", slot };
    },

    shareOf: share,

    reportFull(destination, connections, inUse) {
      const usage = usageOf(destination);
      const learnt = shrink(usage.learnt, connections, inUse ?? usage.connections, now());
      if (learnt === undefined) return false;
      usage.learnt = learnt;
      return true;
    },

    /** The generic cell rate algorithm: a burst may go at once, then one message in each `period / count`. */
    admitMessage(destination, rate) {
      const usage = usageOf(destination);
      const nowMs = now();
      const { shareMs, aheadMs } = paceOf(rate);
      const next = Math.max(usage.theoreticalMs, nowMs) + shareMs;
      const waitMs = next - nowMs - aheadMs;
      if (waitMs > roundingMs) return Math.ceil(waitMs);
      usage.theoreticalMs = next;
      return 0;
    },

    refundMessage(destination, rate) {
      const usage = usages.get(destination);
      if (usage !== undefined) usage.theoreticalMs -= rate.periodMs / rate.count;
    },

    takeRetrySlot: (retryQueue, request) => now() + retrySlots.take(retryQueue, request),
    exceedsShare: () => false,

    reportAnswer(destination, reachabilityKey) {
      deadDestinations.remove(reachabilityKey);
      const usage = usages.get(destination);
      if (usage !== undefined) usage.answeredMs = now();
    },

    reportNoAnswer(destination, reachabilityKey, diagnosis, startedMs) {
      // Other attempts got through meanwhile: it is busy, or the network is bad.
      if ((usages.get(destination)?.answeredMs ?? 0) < startedMs)
        deadDestinations.mark(reachabilityKey, diagnosis, startedMs);
    },
  };
}
