/** Finds the jobs that operators select, by id or by filter, chunk by chunk. It owns nothing; connections are the caller's. */
import type { KnownShards } from "../../shards/known-shards.ts";
import type { Shard } from "../../shards/shard.ts";
import {
  forEachJob,
  type JobPlace,
  type JobStatus,
  jobIdsOfMessage,
  type ListedQueue,
  listedQueues,
  locateJobs,
  readPayloads,
  statusesOf,
} from "../bullmq/job-places.ts";
import { parseDeliveryJob, parseDeliveryJobId } from "../contract/contract.ts";
import { parseDeadJob } from "../contract/dead-job.ts";
import type { Holds } from "../holds/store.ts";
import { type InspectedJob, type JobFilter, jobMatcher } from "./rows.ts";

/** Jobs by id, or by a filter; `{ filter: {} }` is all of them. */
export type JobSelection =
  /** Job ids, queue ids of messages, or Message-ID fields in angle brackets (these are searched for: slow). */
  { ids: string[] } | { filter: JobFilter };

const idsAtOnce = 50;

export class JobFinder {
  readonly #shards: KnownShards;
  readonly #holds: Pick<Holds, "match">;
  readonly #maxGroups: () => number;

  /** @param maxGroups  recipient groups that a message may have */
  constructor(shards: KnownShards, holds: Pick<Holds, "match">, maxGroups: () => number) {
    this.#shards = shards;
    this.#holds = holds;
    this.#maxGroups = maxGroups;
  }

  /** The jobs that an id names. */
  async find(id: string): Promise<InspectedJob[]> {
    if (id.startsWith("<")) {
      const found: InspectedJob[] = [];
      await this.forEach({ filter: { messageId: id } }, async (jobs) => {
        found.push(...jobs);
        return 0;
      });
      return found;
    }
    const jobIds = parseDeliveryJobId(id) ? [id] : await jobIdsOfMessage(this.#shards, id, this.#maxGroups());
    return this.read(await locateJobs(this.#shards, jobIds));
  }

  /** The jobs at these places, as far as they are still there and can be read. */
  async read(places: readonly JobPlace[]): Promise<InspectedJob[]> {
    const found = await readPayloads(this.#shards, places);
    return found.flatMap(({ place, payload }) => this.#inspect(place, payload) ?? []);
  }

  /**
   * Calls back with the selected jobs. While they are changed, none that keeps its status is left out.
   * @param act   returns how many of the jobs left their status
   * @param skip  a status that a filter does not reach: the one that `act` gives the jobs
   * @returns the ids that name nothing
   */
  async forEach(
    selection: JobSelection,
    act: (jobs: InspectedJob[]) => Promise<number>,
    skip?: JobStatus,
  ): Promise<string[]> {
    if ("ids" in selection) return this.#forEachId(selection.ids, act);
    const matches = jobMatcher(selection.filter, Date.now());
    await this.#shards.loaded;
    for (const [shard, queue, status] of shardSections(this.#shards.all, selection.filter)) {
      if (status === skip) continue;
      await forEachJob(shard, queue, status, async (places) => {
        const jobs = (await this.read(places)).filter(matches);
        return jobs.length === 0 ? 0 : act(jobs);
      });
    }
    return [];
  }

  async #forEachId(ids: string[], act: (jobs: InspectedJob[]) => Promise<number>): Promise<string[]> {
    const unknown: string[] = [];
    const unique = [...new Set(ids)];
    for (let start = 0; start < unique.length; start += idsAtOnce) {
      const some = unique.slice(start, start + idsAtOnce);
      const found = await Promise.all(some.map((id) => this.find(id)));
      unknown.push(...some.filter((_, index) => found[index]?.length === 0));
      const jobs = found.flat();
      if (jobs.length > 0) await act(jobs);
    }
    return unknown;
  }

  #inspect({ queue, status, dueAtMs }: JobPlace, payload: unknown): InspectedJob | undefined {
    if (queue === "dead") {
      const dead = parseDeadJob(payload);
      return dead && { queue, status, job: dead.job, dead };
    }
    const job = parseDeliveryJob(payload);
    if (job === undefined) return undefined;
    const hold = status === "held" ? this.#holds.match(job) : undefined;
    return {
      queue,
      status,
      job,
      ...(dueAtMs === undefined ? {} : { dueAtMs }),
      ...(hold === undefined ? {} : { hold }),
    };
  }
}

/** The queues and statuses that a filter leaves, in the order in which they are shown, in each shard. */
export function shardSections(
  shards: readonly Shard[],
  filter: JobFilter,
): [Shard, ListedQueue, JobStatus][] {
  return sections(filter).flatMap(([queue, status]) =>
    shards.map((shard): [Shard, ListedQueue, JobStatus] => [shard, queue, status]),
  );
}

function sections(filter: JobFilter): [ListedQueue, JobStatus][] {
  return listedQueues
    .filter((queue) => filter.queue === undefined || filter.queue === queue)
    .flatMap((queue) =>
      statusesOf(queue)
        .filter((status) => filter.status === undefined || filter.status === status)
        .map((status): [ListedQueue, JobStatus] => [queue, status]),
    );
}
