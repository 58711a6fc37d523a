/** What follows the attempt of one group: which recipients were tried, what comes next for them, what to record and report. Pure. */
import type { Config } from "../../shared/config/schema.ts";
import type { Interruption } from "../../shared/runtime/interruption.ts";
import type { Diagnosis, Outcome } from "../../shared/smtp/diagnosis.ts";
import type { AttemptFacts, AttemptResult } from "../../shared/smtp-client/smtp-client.ts";
import type { SpoolCorrupt } from "../../shared/spool/spool.ts";
import { decideNext, decideWait, type NextStep, type RetryPolicy, type Untried } from "./decide-next.ts";
import {
  type Effects,
  effectsOfAttempt,
  effectsOfOutcomes,
  noEffects,
  undeliverable,
  undeliverableMessage,
} from "./effects.ts";
import { type DeliveryGroup, expiryMs, isNullSender, type LoadedJob, lastDiagnoses } from "./plan.ts";

/** How an attempt ended. */
export type GroupResult =
  /** `interruption`: of the job, meanwhile. A recipient without an outcome met a fault of ours. */
  | (Extract<AttemptResult, { kind: "tried" }> & { interruption: Interruption | undefined })
  | Extract<AttemptResult, { kind: "full" }>
  /** The spool's copy of the message turned out damaged. */
  | { kind: "damaged"; error: SpoolCorrupt };

/** Of an attempt that did not come as far as a server. */
export const noFacts: AttemptFacts = { destination: "", tries: [], durationMs: 0 };

export interface GroupDecision {
  /** Absent when no recipient was tried. */
  step?: NextStep;
  untried: ReadonlyMap<number, Untried>;
  effects: Effects;
}

const none: ReadonlyMap<number, never> = new Map<number, never>();

/**
 * @param nowMs   epoch milliseconds, after the attempt
 * @param jitter  0..1
 */
export function decideGroup(
  loaded: LoadedJob,
  group: DeliveryGroup,
  result: GroupResult,
  { queue, relay }: { queue: RetryPolicy; relay: Pick<Config["relay"], "backup"> },
  nowMs: number,
  jitter: number,
): GroupDecision {
  if (result.kind === "damaged") {
    const diagnosis = undeliverable(result.error, nowMs);
    return { ...undeliverableMessage(loaded, group.recipients, diagnosis, nowMs), untried: none };
  }
  const { tried, untried } = sift(loaded, group, result, queue, nowMs);
  const isFull = result.kind === "full";
  if (tried.size === 0) {
    return { untried, effects: isFull ? { ...noEffects, measurements: [{ kind: "full" }] } : noEffects };
  }
  const step = decideNext(
    {
      ...scheduleOf(loaded),
      outcomes: tried,
      withoutBackup: group.withoutBackup,
    },
    queue,
    nowMs,
    jitter,
    relay.backup,
  );
  const facts = isFull ? noFacts : result.facts;
  return { step, untried, effects: effectsOfAttempt(loaded, group, { tried, facts, isFull }, step, nowMs) };
}

/** In the middle of an attempt: these recipients have their mail, and the attempt goes on for others of the group. */
export function decideDelivered(
  loaded: LoadedJob,
  group: DeliveryGroup,
  outcomes: ReadonlyMap<number, Outcome>,
  facts: AttemptFacts,
  nowMs: number,
): GroupDecision {
  const step = { delivered: [...outcomes.keys()], failed: [], warn: [] };
  return {
    step,
    untried: none,
    effects: effectsOfOutcomes(loaded, group, { tried: outcomes, facts }, step, nowMs),
  };
}

/** What is left of a group and its result when these recipients have been dealt with. */
export function withoutRecipients(
  group: DeliveryGroup,
  result: GroupResult,
  settled: ReadonlySet<number>,
): { group: DeliveryGroup; result: GroupResult } {
  if (settled.size === 0) return { group, result };
  const rest = { ...group, recipients: group.recipients.filter((recipient) => !settled.has(recipient)) };
  if (result.kind !== "tried") return { group: rest, result };
  const outcomes = new Map([...result.outcomes].filter(([recipient]) => !settled.has(recipient)));
  return { group: rest, result: { ...result, outcomes } };
}

/** Separates the recipients that were really tried from those that come back without a count. */
function sift(
  loaded: LoadedJob,
  { recipients }: DeliveryGroup,
  result: Exclude<GroupResult, { kind: "damaged" }>,
  policy: RetryPolicy,
  nowMs: number,
): { tried: ReadonlyMap<number, Outcome>; untried: ReadonlyMap<number, Untried> } {
  const { history } = loaded.task.job;
  const last = lastDiagnoses(history);
  if (result.kind === "full") {
    // RFC 3463 §3.5, X.4.5: congestion.
    const congested: Diagnosis = { status: "4.4.5", class: "local", reason: result.reason, atMs: nowMs };
    const wasTried = history !== undefined && history.attempts > 0;
    const diagnosisOf = (recipient: number) => (wasTried && last?.get(recipient)) || congested;
    const endMs = expiryMs(loaded, policy);
    // Mail that gets one attempt only (`dsn_expire: 0`) has no time that could run out before it.
    const hasAttemptLeft = !wasTried && endMs <= loaded.sinceMs;
    if (nowMs < endMs || hasAttemptLeft) {
      const wait = decideWait(scheduleOf(loaded), policy, result.retryAtMs, nowMs);
      return {
        tried: none,
        untried: new Map(
          recipients.map((recipient) => [recipient, { ...wait, last: diagnosisOf(recipient) }]),
        ),
      };
    }
    // Too old to wait for a connection any longer.
    return {
      tried: new Map(recipients.map((r) => [r, { kind: "deferred", diagnosis: diagnosisOf(r) }])),
      untried: none,
    };
  }
  const { outcomes, interruption } = result;
  const counts = interruption === undefined || (interruption === "stopping" && mayHaveArrived(outcomes));
  if (counts && outcomes.size === recipients.length) return { tried: outcomes, untried: none };
  const tried = new Map<number, Outcome>();
  const untried = new Map<number, Untried>();
  for (const recipient of recipients) {
    const outcome = outcomes.get(recipient);
    if (!counts && outcome?.kind !== "delivered" && outcome?.kind !== "rejected") {
      const diagnosis = last?.get(recipient);
      untried.set(recipient, { untilMs: nowMs, ...(diagnosis === undefined ? {} : { last: diagnosis }) });
    } else tried.set(recipient, outcome ?? ownFault(nowMs));
  }
  return { tried, untried };
}

/** What the time of its warning and of its expiry depend on. */
function scheduleOf({ sinceMs, meta, task }: LoadedJob) {
  return { sinceMs, nullSender: isNullSender(meta), history: task.job.history };
}

/**
 * An interrupted attempt is not counted, and the job goes to another worker at once; not so when a server has the whole
 * message and has not replied: it may be delivered, and would be again.
 */
function mayHaveArrived(outcomes: ReadonlyMap<number, Outcome>): boolean {
  return [...outcomes.values()].some(
    (outcome) => outcome.kind === "deferred" && outcome.diagnosis.possiblyDelivered === true,
  );
}

function ownFault(nowMs: number): Outcome {
  const reason = "this mail system failed while it tried to deliver";
  return { kind: "deferred", diagnosis: { status: "4.3.0", class: "local", reason, atMs: nowMs } };
}
