/** Parks the jobs that a hold covers, and lets them go when none does. It owns nothing; the connection is the caller's. */
import type { RedisConnection } from "../../runtime/redis.ts";
import { heldDueMs, queueBase } from "../bullmq/keys.ts";
import { moveDue } from "../bullmq/scripts.ts";
import type { Holds } from "../holds/store.ts";
import { forEachPlace, listedQueues, type Place, readJobs } from "./jobs.ts";
import { type InspectedJob, jobIdOf } from "./rows.ts";

type Wanted = (job: InspectedJob) => boolean;
const deliveryQueues = listedQueues.filter((queue) => queue !== "dead");

/** Parks what is deferred or waits and is under a hold; what workers have in hand they finish. @returns how many */
export async function holdMatching(redis: RedisConnection, holds: Pick<Holds, "match">): Promise<number> {
  let parked = 0;
  for (const queue of deliveryQueues) {
    for (const status of ["waiting", "deferred"] as const) {
      await forEachPlace(redis, queue, status, async (places) => {
        const jobs = await readJobs(redis, places, holds);
        const ids = jobs.filter(({ job }) => holds.match(job) !== undefined).map(jobIdOf);
        const moved = await moveJobs(redis, queue, ids, heldDueMs(Date.now()), true);
        parked += moved;
        return status === "waiting" ? moved : 0;
      });
    }
  }
  return parked;
}

/**
 * Makes parked jobs due now, those that another rule still holds excepted.
 * @returns how many it released, and how many are still held of those that were wanted
 */
export async function releaseHeld(
  redis: RedisConnection,
  holds: Pick<Holds, "match">,
  wanted: Wanted = () => true,
): Promise<{ released: number; stillHeld: number }> {
  let released = 0;
  let stillHeld = 0;
  for (const queue of deliveryQueues) {
    await forEachPlace(redis, queue, "held", async (places) => {
      const jobs = (await readJobs(redis, places, holds)).filter(wanted);
      const free = jobs.filter(({ hold }) => hold === undefined);
      stillHeld += jobs.length - free.length;
      const moved = await moveJobs(redis, queue, free.map(jobIdOf), Date.now(), false);
      released += moved;
      return moved;
    });
  }
  return { released, stillHeld };
}

/** @param alsoWaiting  move those that wait for a worker too */
export async function moveJobs(
  redis: RedisConnection,
  queue: Place["queue"],
  jobIds: string[],
  dueAtMs: number,
  alsoWaiting: boolean,
): Promise<number> {
  if (jobIds.length === 0) return 0;
  return Number(
    await moveDue.run(redis, [queueBase(queue)], [Math.round(dueAtMs), alsoWaiting ? 1 : 0, ...jobIds]),
  );
}
