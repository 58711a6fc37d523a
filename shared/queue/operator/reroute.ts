/** Gives jobs another next hop, by which holds and lists know them from then on. It owns nothing; the connection is the caller's. */
import type { Shard } from "../../shards/shard.ts";
import type { ListedQueue } from "../bullmq/job-places.ts";
import { replacePayloads } from "../bullmq/replace-payloads.ts";
import { parseDeliveryJob } from "../contract/contract.ts";
import type { HoldRule } from "../holds/rules.ts";
import type { Holds } from "../holds/store.ts";

/** The next hop as jobs carry it. */
export interface NewRoute {
  label: string;
  aliases: string[];
}

/** The rule that holds a job, by its new route. */
type Match = (job: Parameters<Holds["match"]>[0]) => HoldRule | undefined;

/**
 * They are due now, or held where a hold covers their new next hop: a hold of the old one holds them no more. A worker
 * reads the states of their recipients `fresh`.
 * @param routes  by job id; all of one shard
 * @returns `left`: the jobs that a worker has now, or that ended; they carry the new route after their attempt
 */
export async function rerouteJobs(
  shard: Shard,
  queue: ListedQueue,
  routes: ReadonlyMap<string, NewRoute>,
  match: Match,
  nowMs: number,
): Promise<{ rerouted: { jobId: string; hold: boolean }[]; left: string[] }> {
  const holdOf = new Map<string, boolean>();
  const { replaced, left } = await replacePayloads(
    shard,
    queue,
    [...routes.keys()],
    nowMs,
    (jobId, payload, heldForMs) => {
      const job = parseDeliveryJob(payload);
      const route = routes.get(jobId);
      if (job === undefined || route === undefined) return undefined;
      const rerouted = { ...job, route: route.label, aliases: route.aliases, again: true as const };
      const hold = match(rerouted) !== undefined;
      holdOf.set(jobId, hold);
      const heldMs = hold ? job.heldMs : (job.heldMs ?? 0) + (heldForMs ?? 0);
      return { payload: { ...rerouted, ...(heldMs ? { heldMs } : {}) }, hold };
    },
  );
  const rerouted = replaced.map((jobId) => ({ jobId, hold: holdOf.get(jobId) === true }));
  return { rerouted, left };
}
