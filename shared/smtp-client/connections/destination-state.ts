/** What the pool knows of one destination. */
import type { DestinationCapacity } from "./destination-capacity.ts";
import type { IdleConnections } from "./idle-connections.ts";
import type { WaitQueue } from "./wait-queue.ts";

export interface DestinationState {
  readonly name: string;
  readonly idle: IdleConnections;
  readonly waiters: WaitQueue;
  readonly capacity: DestinationCapacity;
}
