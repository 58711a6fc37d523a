/** Repeats the attempts of one request while that may help. Owns the timers of the attempt under way. */
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
}

/** @throws StoreFailure with the last attempt's reason; `outcome` is that of all attempts */
export async function repeatAttempts<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  { attemptMs, repeatMs, onAttempt, onFailure }: RepeatOptions,
): Promise<T> {
  const begunMs = performance.now();
  let isUncertain = false;
  for (let count = 1; ; count++) {
    onAttempt?.();
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), attemptMs);
    try {
      return await attempt(abort.signal);
    } catch (error) {
      const kind = failureKind(error);
      onFailure?.(kind);
      isUncertain ||= mayHaveTakenPlace(kind);
      const elapsedMs = performance.now() - begunMs;
      const decision = decideRetry(kind, count, elapsedMs, repeatMs, Math.random());
      if (decision.kind === "give-up") {
        const reason = abort.signal.aborted
          ? `no answer within ${Math.round(attemptMs / 1000)} s`
          : reasonOf(error);
        throw new StoreFailure(kind, reason, isUncertain ? "unknown" : "not-stored", error);
      }
      await new Promise((resolve) => setTimeout(resolve, decision.delayMs));
    } finally {
      clearTimeout(timer);
    }
  }
}
