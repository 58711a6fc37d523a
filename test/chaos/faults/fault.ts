/** What a fault is, and what it may touch. */
import type { DnsZone } from "../../support/dns-zone.ts";
import type { AdminApi } from "../end/admin.ts";
import type { GatewayProcesses } from "../gateway/processes.ts";
import type { ChaosRedis } from "../gateway/redis.ts";
import type { Recorder } from "../history/recorder.ts";
import type { Random } from "../random.ts";

export interface Stage {
  gateway: GatewayProcesses;
  redis: ChaosRedis;
  admin: AdminApi;
  zone: DnsZone;
  recorder: Recorder;
  /** The gateway's data directory. */
  data: string;
  /** Aborted at the end: whatever still lasts has to end. */
  ending: AbortSignal;
}

export interface FaultKindOf {
  name: string;
  weight: number;
  needsMs: number;
  /** Why it cannot be done on this machine. */
  unavailable?: string;
  /** Resolves when the fault is over, and everything is as before. It ends early when the stage is ending. */
  happen(stage: Stage, random: Random): Promise<void>;
}
