/** How long the steps of one attempt took, for metrics and traces, and which is under way. Bounded, however many hosts an attempt tries. Pure. */
import type { TlsLevel } from "../../routing/next-hop.ts";

export type StepName = "admission" | "dns" | "connect" | "greeting" | "tls" | "transaction";

/** What an attempt that has no session yet is doing now. */
export type SessionPhase = "resolving" | "dialing" | "greeting" | "tls" | "auth";

export interface Step {
  name: StepName;
  /** Epoch milliseconds. */
  startedMs: number;
  durationMs: number;
  /** It ended the opening, or brought no recipient an answer. */
  failed?: true;
  /** The server's name. */
  host?: string;
  /** Of a transaction: the session that it used. */
  session?: {
    policy: TlsLevel;
    /** `TLSv1.3`; `none`: in clear text. */
    tls: string;
    verified: boolean;
    reused: boolean;
  };
}

/** Ten addresses with all their steps. */
const maxSteps = 50;

export class StepLog {
  readonly steps: Step[] = [];
  /** What is under way. */
  phase: SessionPhase = "resolving";

  enter(phase: SessionPhase): void {
    this.phase = phase;
  }

  add(step: Step): void {
    if (this.steps.length < maxSteps) this.steps.push(step);
  }
}

/** Passes on what a generator yields, and logs the time that it takes to find each as a step. */
export async function* timeSteps<T>(
  found: AsyncGenerator<T>,
  name: StepName,
  log: StepLog,
  now: () => number,
): AsyncGenerator<T> {
  let isFirst = true;
  try {
    for (;;) {
      log.enter("resolving");
      const startedMs = now();
      const next = await found.next();
      const durationMs = now() - startedMs;
      // Further ones are at hand most of the time.
      if (isFirst || durationMs > 0) log.add({ name, startedMs, durationMs });
      isFirst = false;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await found.return(undefined);
  }
}
