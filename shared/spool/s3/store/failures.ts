/** What a failed request means, and whether it is repeated (pure). */
import { SpoolFull, SpoolUnavailable } from "../../spool.ts";
import { type FailureKind, StoreFailure } from "./object-store.ts";

/** As the AWS SDK throws it, or Node. */
interface RawError {
  name?: unknown;
  message?: unknown;
  code?: unknown;
  $metadata?: { httpStatusCode?: number };
}

const fullNames = new Set(["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"]);
const throttledNames = new Set([
  "SlowDown",
  "SlowDownRead",
  "SlowDownWrite",
  "ThrottlingException",
  "RequestLimitExceeded",
]);
const unconnectedCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);
/** 4xx that are worth another attempt: the SDK has learnt the store's time, or the upload was too slow. */
const repeatable = new Set([
  "RequestTimeTooSkewed",
  "RequestTimeout",
  "ConditionalRequestConflict",
  "OperationAborted",
]);

export function failureKind(error: unknown): FailureKind {
  const { name, code, $metadata } = (error ?? {}) as RawError;
  const status = $metadata?.httpStatusCode;
  if (typeof code === "string" && unconnectedCodes.has(code)) return "unreachable";
  if (name === "CredentialsProviderError") return "refused";
  if (status === undefined) return "broken";
  if (typeof name === "string" && throttledNames.has(name)) return "throttled";
  if ((typeof name === "string" && fullNames.has(name)) || status === 507) return "full";
  if (status === 404) return "missing";
  if (status === 412) return "exists";
  if (status === 501) return "unsupported";
  if (status === 429) return "throttled";
  if (typeof name === "string" && repeatable.has(name)) return "broken";
  if (status >= 400 && status < 500) return "refused";
  return "broken";
}

/** One line for people: the store's own code, and what it says. */
export function reasonOf(error: unknown): string {
  const { name, message, code, $metadata } = (error ?? {}) as RawError;
  const status = $metadata?.httpStatusCode;
  const text = typeof message === "string" && message !== "" ? message : "no answer";
  const what = typeof code === "string" ? code : typeof name === "string" ? name : "Error";
  const line = `${what}${status === undefined ? "" : ` (${status})`}: ${text}`;
  return line.replaceAll(/\s+/g, " ").slice(0, 300);
}

export type RetryDecision = { kind: "retry"; delayMs: number } | { kind: "give-up" };

const firstDelayMs = 50;
const longestDelayMs = 2000;

/**
 * Whether another attempt follows: only after failures that pass, and while there is time for one.
 * @param attempt    that failed, from 1
 * @param elapsedMs  since the first attempt began
 * @param limitMs    for all attempts together
 * @param jitter     0..1
 */
export function decideRetry(
  kind: FailureKind,
  attempt: number,
  elapsedMs: number,
  limitMs: number,
  jitter: number,
): RetryDecision {
  if (kind !== "throttled" && kind !== "unreachable" && kind !== "broken") return { kind: "give-up" };
  const longest = Math.min(longestDelayMs, firstDelayMs * 2 ** (attempt - 1));
  const delayMs = Math.round(longest * (0.5 + jitter / 2));
  return elapsedMs + delayMs >= limitMs ? { kind: "give-up" } : { kind: "retry", delayMs };
}

/** Whether a write that failed so may have taken place. */
export function mayHaveTakenPlace(kind: FailureKind): boolean {
  return kind === "broken";
}

/** The error that callers of the spool know. */
export function storeError(error: unknown, what: string): Error {
  if (error instanceof SpoolFull || error instanceof SpoolUnavailable) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const message = `${what}: ${reason}`;
  if (error instanceof StoreFailure && error.kind === "full") return new SpoolFull(message, { cause: error });
  return new SpoolUnavailable(message, { cause: error });
}

/** @throws SpoolFull or SpoolUnavailable in place of the store's failure */
export async function orStoreError<T>(work: Promise<T>, what: string): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw storeError(error, what);
  }
}
