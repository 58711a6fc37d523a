/** Whether a client may bring more mail, by what speaks against it now. Pure. */
import type { Reply } from "../../../shared/smtp/reply.ts";
import type { StoragePressure } from "../../../shared/spool/spool.ts";
import { replies } from "../message/session-replies.ts";

export const pressureNames = [
  "disk-failing",
  "disk-slow",
  "disk-full",
  "redis-memory",
  "memory",
  "connections",
  "draining",
] as const;
export type PressureName = (typeof pressureNames)[number];

/** What was measured. Shares are 0..1; `undefined` where nobody knows, which speaks against nothing. */
export interface Measured {
  storage: StoragePressure;
  /** Of Redis' `maxmemory`. */
  redisShare: number | undefined;
  /** Of the memory that this process may have. */
  memoryShare: number;
  /** Connections of clients that are open. */
  connections: number;
  /** Why the host is out of service; absent: it is not. */
  draining?: string | undefined;
}

/** `limits.pressure`, and `limits.connections`. Percentages; 0: no threshold. */
export interface Thresholds {
  disk_free: number;
  disk_latency: number;
  redis_memory: number;
  memory: number;
  connections: number;
}

export interface Pressures {
  /** Each with its reason, one line for operators. */
  active: ReadonlyMap<PressureName, string>;
  /** Octets that a message may take before the disk counts as full. */
  roomBytes: number;
}

/**
 * A pressure ends at this share of its threshold, so that it does not begin and end with each message. Free space must rise
 * above its threshold by as much.
 */
const easedShare: Record<PressureName, number> = {
  "disk-failing": 1,
  "disk-slow": 0.5,
  "disk-full": 1.1,
  "redis-memory": 0.95,
  memory: 0.9,
  connections: 0.95,
  draining: 1,
};

/** @param before  those that were active at the last measurement */
export function findPressures(
  measured: Measured,
  thresholds: Thresholds,
  before: { has(name: PressureName): boolean },
): Pressures {
  const { storage, redisShare = 0, memoryShare, connections } = measured;
  const active = new Map<PressureName, string>();
  const threshold = (name: PressureName, value: number): number =>
    before.has(name) ? value * easedShare[name] : value;
  const exceeds = (name: PressureName, value: number, limit: number): boolean =>
    limit > 0 && value >= threshold(name, limit);
  const percent = (share: number): number => Math.floor(share * 100);

  if (storage.failure !== undefined) {
    active.set("disk-failing", `the disk of the spool fails: ${storage.failure}`);
  }
  if (exceeds("disk-slow", storage.latencyMs, thresholds.disk_latency)) {
    const took = `${(storage.latencyMs / 1000).toFixed(1)} s`;
    active.set(
      "disk-slow",
      storage.doing === undefined
        ? `the disk of the spool is slow: the last write took ${took}`
        : `the disk of the spool is slow: it has been ${storage.doing} for ${took}`,
    );
  }
  const roomBytes = storage.freeBytes - threshold("disk-full", thresholds.disk_free);
  if (roomBytes < 0) {
    const free = Math.max(0, Math.floor(storage.freeBytes / 2 ** 20));
    const wanted = Math.ceil(thresholds.disk_free / 2 ** 20);
    active.set("disk-full", `the disk of the spool is nearly full: ${free} MB are free, of ${wanted} MB`);
  }
  if (exceeds("redis-memory", percent(redisShare), thresholds.redis_memory)) {
    active.set("redis-memory", `Redis is nearly full: ${percent(redisShare)} % of maxmemory are used`);
  }
  if (exceeds("memory", percent(memoryShare), thresholds.memory)) {
    active.set("memory", `this process uses ${percent(memoryShare)} % of the memory that it may have`);
  }
  if (exceeds("connections", connections, thresholds.connections)) {
    active.set(
      "connections",
      `this process has ${connections} of ${thresholds.connections} connections open`,
    );
  }
  if (measured.draining !== undefined) active.set("draining", measured.draining);
  return { active, roomBytes };
}

export type AdmissionDecision =
  | { kind: "accept" }
  /** `pressure`: absent where only this message is too large for what is left. */
  | { kind: "refuse"; reply: Reply; pressure?: PressureName };

/**
 * What a client asks for. Connections are refused only for what each of them costs: those that are proxied or tunnelled
 * store nothing. Messages are refused at MAIL, before the client has sent them.
 * `isOver`: `limits.connections` are open.
 */
export type Request = { step: "connect"; isOver: boolean } | { step: "mail"; declaredOctets: number };

const mailReplies: readonly [PressureName, Reply][] = [
  ["disk-failing", replies.localError],
  ["disk-slow", replies.localError],
  ["disk-full", replies.storageShort],
  ["redis-memory", replies.storageShort],
  ["memory", replies.storageShort],
];

export function decideAdmission({ active, roomBytes }: Pressures, request: Request): AdmissionDecision {
  if (active.has("draining")) return { kind: "refuse", reply: replies.closing, pressure: "draining" };
  if (request.step === "connect") {
    if (request.isOver) return { kind: "refuse", reply: replies.processFull, pressure: "connections" };
    if (active.has("memory")) return { kind: "refuse", reply: replies.processFull, pressure: "memory" };
    return { kind: "accept" };
  }
  for (const [pressure, reply] of mailReplies)
    if (active.has(pressure)) return { kind: "refuse", reply, pressure };
  // RFC 1870 §6.2: 452, since there may be room for it later.
  if (request.declaredOctets > roomBytes) return { kind: "refuse", reply: replies.storageShort };
  return { kind: "accept" };
}
