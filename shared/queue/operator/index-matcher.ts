/** The filters of operators over the index of queued mail: they find what jobMatcher() in rows.ts finds. Pure. */
import { parseDeliveryJobId } from "../contract/contract.ts";
import { addressMatcher } from "../holds/pattern.ts";
import type { Holdable, HoldRule } from "../holds/rules.ts";
import type { IndexedJob } from "./mail-index.ts";
import { type JobFilter, reasonOfHold } from "./rows.ts";

/**
 * @param nowMs   epoch milliseconds, for `olderMs`
 * @param holdOf  the rule that holds a job, whose reason is the job's
 */
export function indexMatcher(
  filter: JobFilter,
  nowMs: number,
  holdOf: (job: Holdable) => HoldRule | undefined,
): (job: IndexedJob) => boolean {
  const { status, queue, olderMs } = filter;
  const messageLine = filter.messageId === undefined ? undefined : `\n${filter.messageId.toLowerCase()}\n`;
  const matchesTo = filter.to === undefined ? undefined : addressMatcher(filter.to);
  const matchesFrom = filter.from === undefined ? undefined : remember(addressMatcher(filter.from));
  const hasRoute = filter.route === undefined ? undefined : remember(includes(filter.route));
  const error = filter.error?.toLowerCase();
  const errorOf = (job: IndexedJob): string =>
    job.status === "held"
      ? `${reasonOfHold(holdOf(holdableOf(job))).toLowerCase()}\n${job.errorText}`
      : job.errorText;
  const matchesSearch = filter.search === undefined ? undefined : searcher(filter.search, errorOf);
  return (job) => {
    if (status !== undefined && job.status !== status) return false;
    if (queue !== undefined && job.queue !== queue) return false;
    if (olderMs !== undefined && nowMs - job.receivedAtMs < olderMs) return false;
    if (messageLine !== undefined && !job.text.includes(messageLine)) return false;
    if (hasRoute && !hasRoute(job.route)) return false;
    if (matchesFrom && !matchesFrom(job.from)) return false;
    if (matchesTo && !job.to.some(matchesTo)) return false;
    if (error !== undefined && !errorOf(job).includes(error)) return false;
    return matchesSearch === undefined || matchesSearch(job);
  };
}

/** The parts of a job that hold rules look at. */
export function holdableOf({ id, from, to, route, aliases }: IndexedJob): Holdable {
  const { id: message, group } = parseDeliveryJobId(id) ?? { id, group: 0 };
  return {
    id: message,
    part: group,
    from,
    to: [...to],
    route,
    ...(aliases.length > 0 && { aliases: [...aliases] }),
  };
}

function searcher(text: string, errorOf: (job: IndexedJob) => string): (job: IndexedJob) => boolean {
  const inLowerCase = text.toLowerCase();
  // Queue ids have capital letters only.
  const inUpperCase = text.toUpperCase();
  const hasRoute = remember(includes(text));
  return (job) =>
    job.id.includes(inUpperCase) ||
    job.text.includes(inLowerCase) ||
    hasRoute(job.route) ||
    errorOf(job).includes(inLowerCase);
}

/** Whether a text has the wanted one in it, in any case. */
function includes(wanted: string): (text: string) => boolean {
  const inLowerCase = wanted.toLowerCase();
  return (text) => text.toLowerCase().includes(inLowerCase);
}

/** Answers that are kept: many jobs share senders, routes and reasons. */
const maxRemembered = 10_000;

function remember(test: (text: string) => boolean): (text: string) => boolean {
  const answers = new Map<string, boolean>();
  return (text) => {
    let answer = answers.get(text);
    if (answer === undefined) {
      answer = test(text);
      if (answers.size < maxRemembered) answers.set(text, answer);
    }
    return answer;
  };
}
