/** Whether an attempt may be made now: the destination's rate, its connections, and whether it is alive. */
import type { Limiter } from "../limits/limiter.ts";
import { connectionsFor, connectionsForClient } from "../limits/priority-class.ts";
import type { Acquired, ConnectionRequest, LeasedConnection } from "./connections/connection-request.ts";
import type { Pool } from "./connections/pool.ts";
import type { DestinationLimits } from "./next-hops/destination.ts";
import type { AttemptRequest } from "./smtp-client.ts";

/** When a rate is used up, retry slots are given this far ahead. */
const rateHorizonMs = 3_600_000;

export interface AdmissionDeps {
  pool: Pool;
  limiter: Limiter;
}

export interface AdmissionRequest {
  request: AttemptRequest;
  destination: string;
  limits: DestinationLimits;
  /** What must be equal for a session to be shared. */
  key: string;
  reachabilityKey: string;
}

export async function admit(
  admission: AdmissionRequest,
  { pool, limiter }: AdmissionDeps,
): Promise<Acquired> {
  const { destination, limits } = admission;
  const { rate } = limits;
  const waitMs = rate === undefined ? 0 : await limiter.admitMessage(destination, rate);
  if (rate !== undefined && waitMs > 0) {
    const reason = `${destination} has had all the messages that its rate allows for now`;
    const eachMs = rate.periodMs / rate.count;
    // The first message retries when the rate allows the next one, each other a message's share of the period later.
    const earliestMs = Math.max(0, waitMs - eachMs);
    const retrySlot = { eachMs, earliestMs, horizonMs: rateHorizonMs };
    return {
      kind: "full",
      reason,
      retryAtMs: await limiter.takeRetrySlot(`rate ${retryQueueOf(admission)}`, retrySlot),
    };
  }
  return refundUnlessLeased(await pool.acquire(connectionRequest(admission)), admission, limiter);
}

/**
 * The hosts that could be dialled have all the connections that they may have: the attempt gives its slot back and waits
 * for one that is open, like those of a full destination. @param mayWait  false: its job comes back later
 */
export async function admitAgain(
  admission: AdmissionRequest,
  leased: LeasedConnection,
  mayWait: boolean,
  { pool, limiter }: AdmissionDeps,
): Promise<Acquired> {
  const acquired = await pool.exchange(leased, connectionRequest(admission), mayWait);
  return refundUnlessLeased(acquired, admission, limiter);
}

function refundUnlessLeased(
  acquired: Acquired,
  { destination, limits: { rate } }: AdmissionRequest,
  limiter: Limiter,
): Acquired {
  if (acquired.kind !== "leased" && rate !== undefined) limiter.refundMessage(destination, rate);
  return acquired;
}

function connectionRequest(admission: AdmissionRequest): ConnectionRequest {
  const { request, destination, limits, key, reachabilityKey } = admission;
  const { priorityClass, client, signal } = request;
  return {
    key,
    destination,
    reachabilityKey,
    limits,
    share: connectionsFor(priorityClass, limits.connections),
    ignoreDeadCache: request.isLast === true,
    priorityClass,
    ...(client !== undefined && {
      client: { name: client, share: connectionsForClient(limits.connections) },
    }),
    retryQueue: retryQueueOf(admission),
    signal,
  };
}

function retryQueueOf({ request, destination }: AdmissionRequest): string {
  return `${request.priorityClass?.name ?? ""} ${destination}`;
}
