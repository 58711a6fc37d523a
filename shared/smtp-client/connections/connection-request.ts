/** What an attempt asks of the pool, and what it gets. */
import type { Slot } from "../../limits/limiter.ts";
import type { PriorityClass } from "../../limits/priority-class.ts";
import type { Diagnosis } from "../../smtp/diagnosis.ts";
import type { DestinationLimits } from "../next-hops/destination.ts";
import type { Session } from "../session/session.ts";
import type { StepLog } from "../session/step-log.ts";

export interface ConnectionRequest {
  /** What must be equal for a session to be shared. */
  key: string;
  destination: string;
  /** The hosts that have to answer, as reachabilityKeyOf() names them. */
  reachabilityKey: string;
  limits: DestinationLimits;
  /** How many of the destination's connections its priority class may have. */
  share: number;
  /** Ask even where no host answered lately. */
  ignoreDeadCache: boolean;
  priorityClass: PriorityClass | undefined;
  /** Absent: no client waits for it. */
  client?: WaitingClient;
  /** Names the sequence of retry slots that it joins when the destination is full. */
  retryQueue: string;
  signal: AbortSignal;
}

/** The client of an inline delivery. */
export interface WaitingClient {
  /** Its address or network. */
  name: string;
  /** How many connections of the destination its deliveries may have in this process. */
  share: number;
}

export type Acquired =
  | { kind: "leased"; leased: LeasedConnection }
  | { kind: "full"; retryAtMs: number; reason: string }
  /** No host answered lately: how that attempt ended. */
  | { kind: "dead"; diagnosis: Diagnosis };

/** A slot of a destination that one attempt has, with an open session in it or room for one. */
export interface LeasedConnection {
  readonly key: string;
  readonly slot: Slot;
  readonly priorityClass: PriorityClass | undefined;
  readonly client?: WaitingClient;
  readonly leasedAtMs: number;
  /** What the attempt does that has no session yet; absent: it has not begun. */
  progress?: Pick<StepLog, "phase">;
  session: Session | undefined;
}
