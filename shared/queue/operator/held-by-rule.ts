/** How many held jobs each hold rule covers, by the index of queued mail. Pure. */
import { unreachable } from "../../unreachable.ts";
import { parseDeliveryJobId } from "../contract/contract.ts";
import { HoldMatcher, type HoldRule } from "../holds/rules.ts";
import { holdableOf } from "./index-matcher.ts";
import type { IndexedJob } from "./mail-index.ts";

/** Jobs that a rule by destination or by sender judges alike. */
interface Alike {
  sample: IndexedJob;
  jobs: number;
}

/**
 * A job under two rules counts for both. Rules look at each sender, and at each pair of recipients' domains and route,
 * once, since there may be many rules and 200,000 jobs.
 * @returns for each rule how many
 */
export function countHeld(jobs: Iterable<IndexedJob>, rules: readonly HoldRule[]): number[] {
  let all = 0;
  const byId = new Map<string, number>();
  const bySender = new Map<string, Alike>();
  // Equal lists of domains are one array.
  const byDestination = new Map<readonly string[], Map<string, Alike>>();
  for (const job of jobs) {
    if (job.status !== "held") continue;
    all++;
    add(byId, job.id);
    const message = parseDeliveryJobId(job.id)?.id;
    if (message !== undefined) add(byId, message);
    count(bySender, job.from, job);
    let byRoute = byDestination.get(job.domains);
    if (byRoute === undefined) {
      byRoute = new Map();
      byDestination.set(job.domains, byRoute);
    }
    count(byRoute, job.route, job);
  }
  const destinations = [...byDestination.values()].flatMap((byRoute) => [...byRoute.values()]);
  return rules.map((rule) => {
    switch (rule.kind) {
      case "all":
        return all;
      case "message":
        return byId.get(rule.value) ?? 0;
      case "sender":
        return covered(rule, bySender.values());
      case "destination":
        return covered(rule, destinations);
      default:
        return unreachable(rule.kind);
    }
  });
}

function covered(rule: HoldRule, groups: Iterable<Alike>): number {
  // Whether it has expired is the caller's to know.
  const matcher = new HoldMatcher([rule], Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const { sample, jobs } of groups) if (matcher.match(holdableOf(sample)) !== undefined) sum += jobs;
  return sum;
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function count(groups: Map<string, Alike>, key: string, sample: IndexedJob): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, { sample, jobs: 1 });
  else group.jobs++;
}
