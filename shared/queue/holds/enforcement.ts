/** Holds the jobs that a rule covers, and releases them when none does. It owns nothing; connections are the caller's. */
import type { Shard, Shards } from "../../shards/shard.ts";
import { forEachJob, type JobPlace, listedQueues, readPayloads } from "../bullmq/job-places.ts";
import { holdJobs, releaseJobs } from "../bullmq/jobs.ts";
import { parseDeliveryJob } from "../contract/contract.ts";
import type { Holds } from "./store.ts";

const deliveryQueues = listedQueues.filter((queue) => queue !== "dead");

function deliveryQueuesOf({ all }: Shards): [Shard, (typeof deliveryQueues)[number]][] {
  return all.flatMap((shard) =>
    deliveryQueues.map((queue): [Shard, (typeof deliveryQueues)[number]] => [shard, queue]),
  );
}

/** Holds deferred and waiting jobs that are under a rule; active ones their workers finish. @returns how many */
export async function holdCovered(shards: Shards, holds: Pick<Holds, "match">): Promise<number> {
  let held = 0;
  for (const [shard, queue] of deliveryQueuesOf(shards)) {
    for (const status of ["waiting", "deferred"] as const) {
      await forEachJob(shard, queue, status, async (places) => {
        const { covered } = await partition(shards, places, holds);
        const moved = await holdJobs(shard, queue, covered, Date.now());
        held += moved;
        return moved;
      });
    }
  }
  return held;
}

/** Makes held jobs that no rule covers any more due now. @returns how many, and how many a rule still holds */
export async function releaseUncovered(
  shards: Shards,
  holds: Pick<Holds, "match">,
): Promise<{ released: number; stillHeld: number }> {
  const report = { released: 0, stillHeld: 0 };
  for (const [shard, queue] of deliveryQueuesOf(shards)) {
    await forEachJob(shard, queue, "held", async (places) => {
      const { covered, uncovered } = await partition(shards, places, holds);
      const released = await releaseJobs(shard, queue, uncovered, Date.now());
      report.stillHeld += covered.length;
      report.released += released;
      return released;
    });
  }
  return report;
}

/** The ids of the jobs at these places that a rule covers, and of the others. */
async function partition(
  shards: Pick<Shards, "of">,
  places: readonly JobPlace[],
  holds: Pick<Holds, "match">,
): Promise<{ covered: string[]; uncovered: string[] }> {
  const covered: string[] = [];
  const uncovered: string[] = [];
  for (const { place, payload } of await readPayloads(shards, places)) {
    const job = parseDeliveryJob(payload);
    if (job !== undefined) (holds.match(job) === undefined ? uncovered : covered).push(place.jobId);
  }
  return { covered, uncovered };
}
