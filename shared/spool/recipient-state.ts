/**
 * What became of a message's recipients (pure): the states, which of two entries about one recipient counts, and
 * when all recipients are settled. Status logs of several processes are merged, rewritten and read again, so the
 * result must not depend on the order in which entries are read.
 */
import type { Diagnosis } from "../smtp/diagnosis.ts";
import type { SmtpReply } from "../smtp/status.ts";

/** What a warning about a delay says. */
export interface Delay {
  diagnosis: Diagnosis;
  /** Epoch milliseconds after which delivery is given up. */
  willRetryUntilMs: number;
}

/** What a report of a delivery says. */
export interface Success {
  /** RFC 3464 §2.3.3: whether the server was the recipient's own, or passes the message on. */
  kind: "relayed" | "delivered";
  reply: SmtpReply;
  remote: { host: string; address: string; port: number };
  atMs: number;
}

/** Only `pending` recipients are attempted. A `failed` one needs a DSN to the sender. */
export type RecipientState =
  /**
   * `delay`: a warning about the delay is still to be sent; `warned`: it has been sent.
   * `via`: the next hop that an operator chose, as `relay.routes[].via` names it. It is recorded alone, `""` for the routing
   * table again, and stays with the recipient whatever else is recorded.
   */
  | { kind: "pending"; delay?: Delay; warned?: true; via?: string }
  /** `success`: a report about it is still to be sent (RFC 3461 §5.2). */
  | { kind: "delivered"; success?: Success }
  | { kind: "failed"; diagnosis: Diagnosis }
  /** The DSN about the failure is in the spool, or none was requested. */
  | { kind: "bounced" }
  /** By an operator. */
  | { kind: "removed" }
  /** Neither deliverable nor returnable; kept until `queue.dead_retention` after `atMs`. */
  | { kind: "dead"; diagnosis: Diagnosis; atMs: number };

/** Whether nothing is left to do for the recipient: no delivery, no report, no operator. */
export function isSettled(state: RecipientState): boolean {
  if (state.kind === "delivered") return state.success === undefined;
  return state.kind === "bounced" || state.kind === "removed";
}

/** Whether a report of its delivery is still to be sent. */
export function isReportPending(state: RecipientState): state is { kind: "delivered"; success: Success } {
  return state.kind === "delivered" && state.success !== undefined;
}

/**
 * Whether all recipients of a message are settled: it is finished, and its space may be freed.
 * @param states      by recipient index; an absent recipient is pending
 * @param recipients  number of recipients in the envelope
 * @param settledNow  indexes of recipients that the caller has settled since it read `states`
 */
export function allRecipientsSettled(
  states: ReadonlyMap<number, RecipientState>,
  recipients: number,
  settledNow: readonly number[] = [],
): boolean {
  const now = new Set(settledNow);
  for (let recipient = 0; recipient < recipients; recipient++) {
    const state = states.get(recipient);
    if (now.has(recipient) || (state !== undefined && isSettled(state))) continue;
    return false;
  }
  return true;
}

/** A state and when it was recorded. */
export interface TimedState {
  readonly state: RecipientState;
  /** Logical timestamp, see `LogicalClock`. */
  readonly timestamp: number;
}

/** The state of some recipients of one message. Shared between messages, hence never changed. */
export interface StatusEntry extends TimedState {
  readonly recipients: readonly number[];
}

/** By recipient index; absent recipients are pending. */
export function mergeStates(entries: readonly StatusEntry[]): ReadonlyMap<number, RecipientState> {
  const merged = new Map<number, RecipientState>();
  const { states, warnings, reroutes } = newestByRecipient(entries);
  for (const [recipient, { state }] of states) merged.set(recipient, state);
  for (const [recipient, warning] of warnings)
    if (warningCounts(warning, states.get(recipient))) merged.set(recipient, warning.state);
  for (const [recipient, { state }] of reroutes) {
    const current = merged.get(recipient) ?? pending;
    if (current.kind === "pending" && isReroute(state) && state.via !== "")
      merged.set(recipient, { ...current, via: state.via });
  }
  return merged;
}

/** The fewest entries that merge to the same states, also together with further entries. */
export function foldEntries(entries: readonly StatusEntry[]): StatusEntry[] {
  if (entries.length < 2) return [...entries];
  const recipientsOf = new Map<TimedState, number[]>();
  const { states, warnings, reroutes } = newestByRecipient(entries);
  const isOpen = ([recipient]: [number, TimedState]): boolean => {
    const current = states.get(recipient);
    return current === undefined || !isSettled(current.state);
  };
  // A settled recipient stays settled: its warnings and reroutes never count again.
  const others = [...warnings, ...reroutes].filter(isOpen);
  for (const [recipient, entry] of [...states, ...others]) {
    const recipients = recipientsOf.get(entry);
    if (recipients === undefined) recipientsOf.set(entry, [recipient]);
    else recipients.push(recipient);
  }
  return [...recipientsOf].map(([{ state, timestamp }, recipients]) => ({ recipients, state, timestamp }));
}

interface Newest {
  states: ReadonlyMap<number, TimedState>;
  warnings: ReadonlyMap<number, TimedState>;
  reroutes: ReadonlyMap<number, TimedState>;
}

const none: ReadonlyMap<number, TimedState> = new Map();
const pending: RecipientState = { kind: "pending" };

function newestByRecipient(entries: readonly StatusEntry[]): Newest {
  const states = new Map<number, TimedState>();
  let warnings: Map<number, TimedState> | undefined;
  let reroutes: Map<number, TimedState> | undefined;
  for (const entry of entries) {
    let newest = states;
    if (isWarning(entry.state)) {
      warnings ??= new Map();
      newest = warnings;
    } else if (isReroute(entry.state)) {
      reroutes ??= new Map();
      newest = reroutes;
    }
    for (const recipient of entry.recipients) newest.set(recipient, newer(newest.get(recipient), entry));
  }
  return { states, warnings: warnings ?? none, reroutes: reroutes ?? none };
}

/**
 * The later of two states (both warnings, or neither), except that a settled recipient stays settled, and a delivered one
 * delivered.
 */
function newer(current: TimedState | undefined, next: TimedState): TimedState {
  if (current === undefined) return next;
  const [rank, nextRank] = [finality(current.state), finality(next.state)];
  if (rank !== nextRank) return rank > nextRank ? current : next;
  return next.timestamp >= current.timestamp ? next : current;
}

function finality(state: RecipientState): number {
  if (isSettled(state)) return 2;
  return state.kind === "delivered" ? 1 : 0;
}

/**
 * Warnings are merged apart from other states: the process that records one does not work on the recipient, which
 * may have failed meanwhile.
 */
function isWarning(state: RecipientState): boolean {
  return state.kind === "pending" && state.warned === true;
}

/**
 * Reroutes are merged apart from other states too: the admin that records one does not work on the recipient, which may
 * have been delivered meanwhile.
 */
function isReroute(state: RecipientState): state is { kind: "pending"; via: string } {
  return state.kind === "pending" && state.via !== undefined;
}

/** A warning counts while the recipient is pending, until a later `pending`: that is an operator's requeue. */
function warningCounts(warning: TimedState, current: TimedState | undefined): boolean {
  return (
    current === undefined || (current.state.kind === "pending" && warning.timestamp >= current.timestamp)
  );
}

/**
 * Timestamps in microseconds since the epoch that rise with every call and above every timestamp seen from other
 * processes (a hybrid logical clock, Kulkarni et al. 2014): a state recorded in response to another process' entry
 * is later than that entry, even where the clocks of two hosts differ.
 */
export class LogicalClock {
  #last = 0;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  next(): number {
    this.#last = Math.max(this.#last + 1, Math.floor(this.#nowMs() * 1000));
    return this.#last;
  }

  observe(timestamp: number): void {
    if (timestamp > this.#last) this.#last = timestamp;
  }
}
