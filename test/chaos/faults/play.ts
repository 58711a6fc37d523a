/** Plays a schedule of faults, and says now and then how far it is. */
import { setTimeout as wait } from "node:timers/promises";
import type { ScheduledFault } from "../schedule.ts";
import type { FaultKindOf, Stage } from "./fault.ts";

const progressEveryMs = 300_000;

/** Resolves when the time is over and every fault that lasted has ended. */
export async function playFaults(
  schedule: readonly ScheduledFault[],
  faults: readonly FaultKindOf[],
  stage: Stage,
  terms: { durationMs: number; end(): void; onProgress(line: string): void },
): Promise<void> {
  const { durationMs, onProgress } = terms;
  const startedAt = performance.now();
  const happening = new Set<Promise<void>>();
  const progress = setInterval(() => onProgress(describe(stage)), progressEveryMs);
  try {
    for (const { atMs, name, random } of schedule) {
      await wait(Math.max(0, startedAt + atMs - performance.now()));
      const fault = faults.find((each) => each.name === name);
      const happened = fault
        ?.happen(stage, random)
        .catch((error: Error) => onProgress(`${name} could not be done: ${error.message}`));
      if (happened === undefined) continue;
      happening.add(happened);
      void happened.finally(() => happening.delete(happened));
    }
    await wait(Math.max(0, startedAt + durationMs - performance.now()));
  } finally {
    clearInterval(progress);
    terms.end();
    await Promise.all(happening);
  }
}

function describe({ recorder }: Stage): string {
  const counts = { accepted: 0, copy: 0, report: 0, fault: 0 };
  for (const { kind } of recorder.events()) if (kind in counts) counts[kind as keyof typeof counts]++;
  return `messages ${counts.accepted}, copies ${counts.copy}, reports ${counts.report}, faults ${counts.fault}`;
}
