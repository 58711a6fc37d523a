/** What all processes together know of destinations now, for operators. It changes nothing; the connection is the caller's. */
import type { Rate } from "../config/values.ts";
import type { RedisConnection } from "../runtime/redis.ts";
import { type Diagnosis, diagnosisSchema } from "../smtp/diagnosis.ts";
import {
  deadBeforeVoidKey,
  deadDestinationKey,
  deadDestinationMember,
  deadDestinationsKey,
  learntLimitKey,
  leasesKey,
  rateKey,
} from "./cluster-scripts.ts";
import { type ProcessConnections, readConnections, readProcessName } from "./connection-phases.ts";
import { learntLimit } from "./learnt-limit.ts";
import { paceOf } from "./limiter.ts";

/** Hosts of a destination of which none answers. Times are epoch milliseconds. */
export interface DeadHosts {
  /** What has to answer, as reachabilityKeyOf() names it: `mx example.org`, `smtp.isp.example:587`. */
  hosts: string;
  /** How the last attempt failed. */
  diagnosis: Diagnosis;
  /** The start of the first attempt that failed; `null` in an entry of the version before. */
  sinceMs: number | null;
  /** No attempt is made until then. */
  untilMs: number;
  lastAttemptMs: number;
}

/** Times are epoch milliseconds. */
export interface DestinationFacts {
  /** The processes that have connections. Host and process id are `null` for one of the version before. */
  slots: { host: string | null; pid: number | null; connections: number; untilMs: number }[];
  /** What they do with them. */
  connections: ProcessConnections[];
  /** Learnt from refusals of the server: how many connections it may have now, and since when. */
  learnt: { connections: number; atMs: number } | null;
  /** The first to die first. */
  dead: DeadHosts[];
  rate: RateUse | null;
}

/** How much of a rate is used. */
export interface RateUse {
  /** Messages that could go at once when nothing was sent for long. */
  burst: number;
  /** How many of them are used now. */
  used: number;
  /** Until the next may go; 0: now. */
  waitMs: number;
}

/** A destination, which may share its name and limits with others on the same host. */
export interface MeantDestination {
  /** The name under which its limits are counted. */
  name: string;
  /** What has to answer, as the dead-destination cache names it: looked at although nothing has marked it under the name. */
  hosts: readonly string[];
  /** Others that have been marked under the name are meant, too. */
  isWholeHost: boolean;
}

/**
 * @param limit  of its connections, as configured
 * @throws Error of Redis
 */
export async function readDestinationFacts(
  redis: RedisConnection,
  { limit, rate, ...meant }: MeantDestination & { limit: number; rate?: Rate },
  nowMs: number,
): Promise<DestinationFacts> {
  const { name } = meant;
  const [leases, learntText, rateText, connections, dead] = await Promise.all([
    redis.hgetall(leasesKey(name)),
    redis.get(learntLimitKey(name)),
    redis.get(rateKey(name)),
    readConnections(redis, name),
    readDeadDestinations(redis, nowMs, meant),
  ]);
  const [bearable, atMs] = (learntText ?? "").split(" ").map(Number);
  const learnt = bearable !== undefined && atMs !== undefined ? { connections: bearable, atMs } : undefined;
  return {
    slots: Object.entries(leases).flatMap(([worker, lease]) => readLease(worker, lease, nowMs) ?? []),
    connections,
    learnt:
      learnt === undefined ? null : { connections: learntLimit(learnt, limit, nowMs), atMs: learnt.atMs },
    dead: dead.get(name) ?? [],
    rate: rate === undefined ? null : useOfRate(rate, Number(rateText ?? 0), nowMs),
  };
}

/** @param atMs  when the rate would be used up evenly, as reserveRateScript keeps it. Pure. */
export function useOfRate(rate: Rate, atMs: number, nowMs: number): RateUse {
  const { shareMs, aheadMs } = paceOf(rate);
  const usedMs = Math.min(aheadMs, Math.max(0, atMs - nowMs));
  return {
    burst: Math.round(aheadMs / shareMs),
    used: Math.round(usedMs / shareMs),
    waitMs: Math.max(0, Math.ceil(usedMs + shareMs - aheadMs)),
  };
}

/** Dead hosts by destination, as limits count it: of one destination, or of all. @throws Error of Redis */
export async function readDeadDestinations(
  redis: RedisConnection,
  nowMs: number,
  one?: MeantDestination,
): Promise<Map<string, DeadHosts[]>> {
  const [members, voidText] = await Promise.all([
    redis.zrangebyscore(deadDestinationsKey, nowMs, "+inf"),
    redis.get(deadBeforeVoidKey),
  ]);
  const wanted = new Set(one === undefined ? members : members.filter((member) => isMeant(member, one)));
  for (const hosts of one?.hosts ?? []) wanted.add(deadDestinationMember(one?.name ?? "", hosts));
  const found = new Map<string, DeadHosts[]>();
  const named = [...wanted].map((member) => {
    const [destination = "", hosts = ""] = member.split("\t");
    return { destination, hosts };
  });
  const pipeline = redis.pipeline();
  for (const { hosts } of named) pipeline.hgetall(deadDestinationKey(hosts));
  for (const [index, [error, entry]] of ((await pipeline.exec()) ?? []).entries()) {
    if (error) throw error;
    const { destination = "", hosts = "" } = named[index] ?? {};
    const dead = readDead(hosts, entry as Record<string, string>, Number(voidText ?? 0), nowMs);
    if (dead !== undefined) found.set(destination, [...(found.get(destination) ?? []), dead]);
  }
  for (const dead of found.values()) dead.sort((a, b) => (a.sinceMs ?? 0) - (b.sinceMs ?? 0));
  return found;
}

/** The name may be that of a host with several ports; a source or "inline" may follow what has to answer. */
function isMeant(member: string, { name, hosts, isWholeHost }: MeantDestination): boolean {
  if (!member.startsWith(`${name}\t`)) return false;
  const marked = member.slice(name.length + 1);
  return isWholeHost || hosts.some((each) => marked === each || marked.startsWith(`${each} `));
}

/** @param worker  `host pid id`, as ClusterSlots names itself; only an id in the version before */
function readLease(
  worker: string,
  lease: string,
  nowMs: number,
): DestinationFacts["slots"][number] | undefined {
  const [connections = 0, untilMs = 0] = lease.split(" ").map(Number);
  if (untilMs < nowMs || connections === 0) return undefined;
  const { host, pid } = readProcessName(worker) ?? { host: null, pid: null };
  return { host, pid, connections, untilMs };
}

function readDead(
  hosts: string,
  entry: Record<string, string>,
  voidMs: number,
  nowMs: number,
): DeadHosts | undefined {
  const { until, marked, since, diagnosis } = entry;
  if (until === undefined || diagnosis === undefined) return undefined;
  if (Number(marked) <= voidMs || Number(until) <= nowMs) return undefined;
  const { data } = diagnosisSchema.safeParse(JSON.parse(diagnosis));
  if (data === undefined) return undefined;
  return {
    hosts,
    diagnosis: data as Diagnosis,
    sinceMs: since === undefined ? null : Number(since),
    untilMs: Number(until),
    lastAttemptMs: Number(marked),
  };
}
