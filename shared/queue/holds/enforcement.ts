/** Holds the jobs that a rule covers, and releases them when none does. It owns nothing; the connection is the caller's. */
import type { RedisConnection } from "../../runtime/redis.ts";
import { forEachJob, type JobPlace, listedQueues, readPayloads } from "../bullmq/job-places.ts";
import { holdJobs, releaseJobs } from "../bullmq/jobs.ts";
import { parseDeliveryJob } from "../contract/contract.ts";
import type { Holds } from "./store.ts";

const deliveryQueues = listedQueues.filter((queue) => queue !== "dead");

/** Holds deferred and waiting jobs that are under a rule; active ones their workers finish. @returns how many */
export async function holdCovered(redis: RedisConnection, holds: Pick<Holds, "match">): Promise<number> {
  let held = 0;
  for (const queue of deliveryQueues) {
    for (const status of ["waiting", "deferred"] as const) {
      await forEachJob(redis, queue, status, async (places) => {
        const { covered } = await partition(redis, places, holds);
        const moved = await holdJobs(redis, queue, covered, Date.now());
        held += moved;
        return moved;
      });
    }
  }
  return held;
}

/** Makes held jobs that no rule covers any more due now. @returns how many, and how many a rule still holds */
export async function releaseUncovered(
  redis: RedisConnection,
  holds: Pick<Holds, "match">,
): Promise<{ released: number; stillHeld: number }> {
  const report = { released: 0, stillHeld: 0 };
  for (const queue of deliveryQueues) {
    await forEachJob(redis, queue, "held", async (places) => {
      const { covered, uncovered } = await partition(redis, places, holds);
      const released = await releaseJobs(redis, queue, uncovered, Date.now());
      report.stillHeld += covered.length;
      report.released += released;
      return released;
    });
  }
  return report;
}

/** The ids of the jobs at these places that a rule covers, and of the others. */
async function partition(
  redis: RedisConnection,
  places: readonly JobPlace[],
  holds: Pick<Holds, "match">,
): Promise<{ covered: string[]; uncovered: string[] }> {
  const covered: string[] = [];
  const uncovered: string[] = [];
  for (const { place, payload } of await readPayloads(redis, places)) {
    const job = parseDeliveryJob(payload);
    if (job !== undefined) (holds.match(job) === undefined ? uncovered : covered).push(place.jobId);
  }
  return { covered, uncovered };
}
