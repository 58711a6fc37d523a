/** What an operator asks of a change of queued mail, and what came of it. */
import { type HoldRule, holdRuleId } from "../holds/rules.ts";

/** What came of a change. */
export interface ChangeReport {
  /** Jobs that were selected. */
  matched: number;
  changed: number;
  /** The first thousand at most. */
  skipped: { id: string; reason: string }[];
  /** Ids that nothing in the queues has. */
  unknown: string[];
}

export interface HoldReport extends ChangeReport {
  /** The id of the rule that also holds later mail; null when only the jobs that were there are held. */
  rule: string | null;
}

export interface HoldTerms {
  /** For people to read. */
  reason?: string;
  /** Epoch milliseconds after which the hold ends by itself; `null`: never. Absent: as a hold that stands has it. */
  untilMs?: number | null;
  /** Who holds: the name of a token. */
  by?: string;
  /** False: a hold that stands already stays as it is. True when absent: it gets what is given here, and keeps the rest. */
  replace?: boolean;
}

export interface ChangeOptions {
  /** Called with the queue ids of messages of which jobs were changed, chunk by chunk. */
  changed?: (messageIds: string[]) => void;
  /** Called after each chunk with the report so far. */
  progress?: (report: Readonly<ChangeReport>) => void;
  /** Ends the change between two chunks: it throws the signal's reason. What was changed stays changed. */
  signal?: AbortSignal;
  /** Counts what would be changed, and changes nothing. */
  dryRun?: boolean;
}

/** Another hold of the same mail stands, and was not to be replaced. */
export class HoldStands extends Error {
  override name = "HoldStands";
  readonly rule: HoldRule;

  constructor(rule: HoldRule) {
    super(`${holdRuleId(rule)} is held already`);
    this.rule = rule;
  }
}
