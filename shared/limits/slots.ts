/**
 * Permissions to burden a destination: how many connections at once, how many messages in a time, and none at all for a
 * while where no host answers. In one process here; shared/limits/cluster-limits.ts keeps the same for the whole cluster.
 */
import type { Rate } from "../config/values.ts";
import type { Diagnosis } from "../smtp/diagnosis.ts";
import { type DeadDestinationPolicy, DeadDestinations } from "./dead-destinations.ts";
import { localRetrySlots } from "./retry-slots.ts";

export interface Slot {
  /** Harmless when repeated. */
  release(): void;
}

/** A wish for one connection. */
export interface SlotRequest {
  /** The name that the limit is counted under. */
  destination: string;
  /** The destination's limit: at once. */
  connections: number;
  /** It gets none while so many are in use already, where it has a part in them only; absent: all. */
  part?: number;
  /** The hosts that have to answer, as pathOf() names them; absent: nobody remembers whether they do. */
  path?: string;
  /** Ask even where nobody answered lately. */
  ignoreDeadCache?: boolean;
}

export type Taken =
  | { kind: "slot"; slot: Slot }
  /** The destination has all that it may have. @property busyMs  that a message takes those who have it, if known */
  | { kind: "full"; busyMs?: number }
  /** No host of it answered lately: how that attempt ended. */
  | { kind: "silent"; diagnosis: Diagnosis };

export interface Slots {
  take(wish: SlotRequest): Taken | Promise<Taken>;
  /** Counts one message against the rate. @returns milliseconds to wait instead, 0 when it may go now */
  admit(destination: string, rate: Rate): number | Promise<number>;
  /** Gives back what admit() counted: the message was not sent after all. */
  refund(destination: string, rate: Rate): void;
  /**
   * When one who cannot go now comes back: all who stand in line get times of their own, `eachMs` apart.
   * @param line  the name of the line; each has its own
   * @returns epoch milliseconds
   */
  retrySlot(line: string, request: RetrySlotRequest): number | Promise<number>;
  /** A connection that comes free should be closed: other processes have less than their part. */
  yields(destination: string): boolean;
  /** A host of the path spoke to us: it is alive. @param tookMs  the whole attempt */
  answered(destination: string, path: string, tookMs: number): void;
  /** No host answered an attempt that began at `startedMs` (epoch milliseconds). */
  unanswered(destination: string, path: string, diagnosis: Diagnosis, startedMs: number): void;
}

export interface RetrySlotRequest {
  /** The time that one of the line takes. */
  eachMs: number;
  /** Nobody comes back sooner. */
  earliestMs: number;
  /** Nobody is sent farther away than about that: what is promised for later is a guess. */
  horizonMs: number;
}

export function shareOf({ connections, part = connections }: SlotRequest): number {
  return part;
}

/** Without waiting for anybody. */
export interface LocalSlots extends Slots {
  take(wish: SlotRequest): Taken;
  admit(destination: string, rate: Rate): number;
  retrySlot(line: string, request: RetrySlotRequest): number;
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

export interface LocalSlotsOptions {
  /** Absent: no silence is remembered. */
  deadDestinations?: DeadDestinationPolicy;
  /** Epoch milliseconds. */
  now?: () => number;
  /** 0..1 */
  random?: () => number;
}

export function createLocalSlots(options: LocalSlotsOptions = {}): LocalSlots {
  const { now = Date.now, random = Math.random } = options;
  const deadDestinations = new DeadDestinations(options.deadDestinations ?? { firstMs: 0, mostMs: 0 }, now);
  const retrySlot = localRetrySlots(now, random);
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
    take(wish) {
      const { destination, path, ignoreDeadCache } = wish;
      const diagnosis =
        path === undefined || ignoreDeadCache === true ? undefined : deadDestinations.of(path);
      if (diagnosis !== undefined) return { kind: "silent", diagnosis };
      const usage = usageOf(destination);
      if (usage.connections >= shareOf(wish)) return { kind: "full" };
      usage.connections++;
      if (path !== undefined) deadDestinations.probed(path);
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
    admit(destination, rate) {
      const usage = usageOf(destination);
      const nowMs = now();
      const next = Math.max(usage.theoreticalMs, nowMs) + rate.periodMs / rate.count;
      const waitMs = next - nowMs - rate.periodMs;
      if (waitMs > 0) return Math.ceil(waitMs);
      usage.theoreticalMs = next;
      return 0;
    },

    refund(destination, rate) {
      const usage = usages.get(destination);
      if (usage !== undefined) usage.theoreticalMs -= rate.periodMs / rate.count;
    },

    retrySlot,
    yields: () => false,

    answered(destination, path) {
      deadDestinations.clear(path);
      const usage = usages.get(destination);
      if (usage !== undefined) usage.answeredMs = now();
    },

    unanswered(destination, path, diagnosis, startedMs) {
      // Others get through: it is busy, or the network is bad.
      if ((usages.get(destination)?.answeredMs ?? 0) < startedMs)
        deadDestinations.mark(path, diagnosis, startedMs);
    },
  };
}
