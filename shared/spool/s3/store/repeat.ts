/** Repeats the attempts of one request while that may help. Owns the timers of the attempt under way. */
import { setTimeout as wait } from "node:timers/promises";
import { decideRetry, failureKind, mayHaveTakenPlace, reasonOf } from "./failures.ts";
import { type FailureKind, StoreFailure } from "./object-store.ts";

export interface RepeatOptions {
  /** After so long without an answer an attempt has failed. */
  attemptMs: number;
  /** How long attempts are repeated. */
  repeatMs: number;
  onAttempt?(): void;
  /** Hears of each attempt that failed. */
  onFailure?(kind: FailureKind): void;
  /** Aborted: the attempt under way ends, and none follows. */
  signal?: AbortSignal | undefined;
}

/** @throws StoreFailure with the last attempt's reason; `outcome` is that of all attempts */
export async function repeatAttempts<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  { attemptMs, repeatMs, onAttempt, onFailure, signal }: RepeatOptions,
): Promise<T> {
  const begunMs = performance.now();
  let isUncertain = false;
  for (let count = 1; ; count++) {
    onAttempt?.();
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), attemptMs);
    try {
      return await attempt(signal === undefined ? abort.signal : AbortSignal.any([abort.signal, signal]));
    } catch (error) {
      const kind = failureKind(error);
      onFailure?.(kind);
      isUncertain ||= mayHaveTakenPlace(kind);
      const elapsedMs = performance.now() - begunMs;
      const decision = decideRetry(kind, count, elapsedMs, repeatMs, Math.random());
      if (decision.kind === "give-up" || signal?.aborted === true) {
        const reason = whyGivenUp(error, abort.signal.aborted ? attemptMs : undefined, signal);
        throw new StoreFailure(kind, reason, isUncertain ? "unknown" : "not-stored", error);
      }
      // When it is aborted, the next attempt fails at once.
      await wait(decision.delayMs, undefined, { signal }).catch(() => {});
    } finally {
      clearTimeout(timer);
    }
  }
}

/** @param lateMs  of an attempt that took too long */
function whyGivenUp(error: unknown, lateMs: number | undefined, signal: AbortSignal | undefined): string {
  if (signal?.aborted === true) return "it was not waited for any longer";
  return lateMs === undefined ? reasonOf(error) : `no answer within ${Math.round(lateMs / 1000)} s`;
}
