/** Why the queues may lack jobs, so that the leading reconciler must compare them with the spool. Pure. */

export type ScanReason =
  | "Redis was emptied"
  | "this reconciler took over"
  | "Redis forgot something"
  | "Redis is back"
  | "a publisher asked for it"
  | "mail of another spool has come"
  | "it is time";

/** What the leader sees at one heartbeat. */
export interface Observation {
  /** By the monotonic clock: the other one may be set back by an hour. */
  nowMs: number;
  /** `taken`: another reconciler, or none, had the lease before. */
  lease: "taken" | "renewed";
  /** The heartbeat that it wrote now, and the one that stood in Redis before. */
  heartbeat: string;
  heartbeatBefore: string | null;
  /** The counter that publishers increment. */
  scanRequests: string | null;
  /** A random value that is lost when Redis is emptied. */
  epoch: string;
  /** The connection to Redis was lost and came back since the last heartbeat. */
  reconnected: boolean;
}

/** What it saw before; `undefined` for what it has not seen yet. */
export interface ScanMemory {
  /** Forgotten while another reconciler leads, whose heartbeats replace it. */
  heartbeat: string | undefined;
  scanRequests: string | null | undefined;
  epoch: string | undefined;
  /** When a scan is due without any other reason, by the monotonic clock. */
  nextScanMs: number;
}

export const noMemory: ScanMemory = {
  heartbeat: undefined,
  scanRequests: undefined,
  epoch: undefined,
  nextScanMs: 0,
};

export interface ScanDecision {
  /** Absent: nothing suggests that a job is missing. */
  reason?: ScanReason;
  /** The workers must first get the time to restore their active jobs. */
  letWorkersReclaim: boolean;
  memory: ScanMemory;
}

export function whyScan(seen: Observation, memory: ScanMemory): ScanDecision {
  const reason = reasonOf(seen, memory);
  const { heartbeat, scanRequests, epoch } = seen;
  return {
    ...(reason === undefined ? {} : { reason }),
    // A reconciler that sees its first epoch cannot tell whether it is new.
    letWorkersReclaim: epoch !== memory.epoch,
    memory: { ...memory, heartbeat, scanRequests, epoch },
  };
}

function reasonOf(seen: Observation, memory: ScanMemory): ScanReason | undefined {
  // First, since the lease was lost with the rest and was taken anew.
  if (memory.epoch !== undefined && seen.epoch !== memory.epoch) return "Redis was emptied";
  if (seen.lease === "taken") return "this reconciler took over";
  // After a crash or a failover Redis may come back without its last writes, this heartbeat among them.
  if (memory.heartbeat !== undefined && seen.heartbeatBefore !== memory.heartbeat) {
    return "Redis forgot something";
  }
  if (seen.reconnected) return "Redis is back";
  if (memory.scanRequests !== undefined && seen.scanRequests !== memory.scanRequests) {
    return "a publisher asked for it";
  }
  return seen.nowMs >= memory.nextScanMs ? "it is time" : undefined;
}
