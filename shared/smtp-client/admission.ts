/** Whether an attempt may be made now: the destination's rate, its connections, and whether it is alive. */
import type { Limiter } from "../limits/limiter.ts";
import { connectionsFor } from "../limits/priority-class.ts";
import type { Acquired } from "./connections/connection-request.ts";
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
  const { request, destination, limits } = admission;
  const { priorityClass } = request;
  const { rate } = limits;
  const retryQueue = `${priorityClass?.name ?? ""} ${destination}`;
  const waitMs = rate === undefined ? 0 : await limiter.admitMessage(destination, rate);
  if (rate !== undefined && waitMs > 0) {
    const reason = `${destination} has had all the messages that its rate allows for now`;
    const eachMs = rate.periodMs / rate.count;
    // The first message retries when the rate allows the next one, each other a message's share of the period later.
    const earliestMs = Math.max(0, waitMs - eachMs);
    const retrySlot = { eachMs, earliestMs, horizonMs: rateHorizonMs };
    return { kind: "full", reason, retryAtMs: await limiter.takeRetrySlot(`rate ${retryQueue}`, retrySlot) };
  }
  const acquired = await pool.acquire({
    key: admission.key,
    destination,
    reachabilityKey: admission.reachabilityKey,
    limits,
    share: connectionsFor(priorityClass, limits.connections),
    ignoreDeadCache: request.isLast === true,
    priorityClass,
    retryQueue,
    signal: request.signal,
  });
  if (acquired.kind !== "leased" && rate !== undefined) limiter.refundMessage(destination, rate);
  return acquired;
}
