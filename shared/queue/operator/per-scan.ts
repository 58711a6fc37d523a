/** Answers about all queued mail that stay as they are until the next scan. */
import type { IndexRefresher } from "./index-refresher.ts";

/** From so many jobs on a pass over all of them is saved where it can be. */
const manyJobs = 5_000;

/**
 * Computes once for each scan of a long queue, since several parts of the overview ask, and so do all who keep it open. Short
 * queues are computed anew: a pass over them costs nothing.
 * @param compute  gets the number of groups that is asked for
 */
export function perScan<T>(
  compute: (limit: number) => T,
  refresher: Pick<IndexRefresher, "state">,
): (limit?: number) => T {
  let last: { asOfMs: number | undefined; limit: number; value: T } | undefined;
  return (limit = 0) => {
    const { asOfMs, indexed } = refresher.state;
    if (last === undefined || indexed < manyJobs || last.asOfMs !== asOfMs || last.limit !== limit) {
      last = { asOfMs, limit, value: compute(limit) };
    }
    return last.value;
  };
}
