/**
 * How many connections a server bears, learnt from its refusals: each takes one off what is in use, and with time it may
 * have more again, up to its configured limit. cluster-scripts.ts decides the same for all processes. Pure.
 */

/** After a refusal the server may have one connection more in each such time. Longer than a busy moment lasts. */
export const growEveryMs = 30_000;

export interface LearntLimit {
  connections: number;
  /** When it was learnt. */
  atMs: number;
}

/** How many connections the server may have now. @param limit  as configured */
export function learntLimit(learnt: LearntLimit | undefined, limit: number, nowMs: number): number {
  if (learnt === undefined) return limit;
  const grown = Math.floor(Math.max(0, nowMs - learnt.atMs) / growEveryMs);
  return Math.min(limit, learnt.connections + grown);
}

/**
 * The server has refused a connection because it has too many.
 * @param inUse  connections that it has, the refused one included
 * @returns `undefined` where there is no other: the refusal has another reason
 */
export function shrink(
  learnt: LearntLimit | undefined,
  limit: number,
  inUse: number,
  nowMs: number,
): LearntLimit | undefined {
  if (inUse <= 1) return undefined;
  return { connections: Math.max(1, Math.min(learntLimit(learnt, limit, nowMs), inUse) - 1), atMs: nowMs };
}
