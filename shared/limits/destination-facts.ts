/** What all processes together know of one destination now, for operators. It changes nothing; the connection is the caller's. */
import type { RedisConnection } from "../runtime/redis.ts";
import { type Diagnosis, diagnosisSchema } from "../smtp/diagnosis.ts";
import { deadBeforeVoidKey, deadDestinationKey, learntLimitKey, leasesKey } from "./cluster-scripts.ts";
import { learntLimit } from "./learnt-limit.ts";

/** Times are epoch milliseconds. */
export interface DestinationFacts {
  /** The processes that have connections. Host and process id are `null` for one of the version before. */
  slots: { host: string | null; pid: number | null; connections: number; untilMs: number }[];
  /** Learnt from refusals of the server: how many connections it may have now, and since when. */
  learnt: { connections: number; atMs: number } | null;
  /** No host answers: how the last attempt failed, and until when none is made. */
  dead: { diagnosis: Diagnosis; untilMs: number; lastAttemptMs: number } | null;
}

/**
 * @param name   under which its limits are counted
 * @param limit  of its connections, as configured
 * @param reachabilityKeys  under which its hosts may be remembered as dead
 * @throws Error of Redis
 */
export async function readDestinationFacts(
  redis: RedisConnection,
  { name, limit, reachabilityKeys }: { name: string; limit: number; reachabilityKeys: readonly string[] },
  nowMs: number,
): Promise<DestinationFacts> {
  const [leases, learntText, voidText, ...entries] = await Promise.all([
    redis.hgetall(leasesKey(name)),
    redis.get(learntLimitKey(name)),
    redis.get(deadBeforeVoidKey),
    ...reachabilityKeys.map((key) => redis.hgetall(deadDestinationKey(key))),
  ]);
  const [connections, atMs] = (learntText ?? "").split(" ").map(Number);
  const learnt = connections !== undefined && atMs !== undefined ? { connections, atMs } : undefined;
  return {
    slots: Object.entries(leases).flatMap(([worker, lease]) => readLease(worker, lease, nowMs) ?? []),
    learnt:
      learnt === undefined ? null : { connections: learntLimit(learnt, limit, nowMs), atMs: learnt.atMs },
    dead:
      entries.map((entry) => readDead(entry, Number(voidText ?? 0), nowMs)).find((dead) => dead !== null) ??
      null,
  };
}

/** @param worker  `host pid id`, as ClusterSlots names itself; only an id in the version before */
function readLease(
  worker: string,
  lease: string,
  nowMs: number,
): DestinationFacts["slots"][number] | undefined {
  const [connections = 0, untilMs = 0] = lease.split(" ").map(Number);
  if (untilMs < nowMs || connections === 0) return undefined;
  const [host = null, pid] = worker.split(" ");
  return pid === undefined
    ? { host: null, pid: null, connections, untilMs }
    : { host, pid: Number(pid), connections, untilMs };
}

function readDead(entry: Record<string, string>, voidMs: number, nowMs: number): DestinationFacts["dead"] {
  const { until, marked, diagnosis } = entry;
  if (until === undefined || diagnosis === undefined) return null;
  if (Number(marked) <= voidMs || Number(until) <= nowMs) return null;
  const { data } = diagnosisSchema.safeParse(JSON.parse(diagnosis));
  if (data === undefined) return null;
  return { diagnosis: data as Diagnosis, untilMs: Number(until), lastAttemptMs: Number(marked) };
}
