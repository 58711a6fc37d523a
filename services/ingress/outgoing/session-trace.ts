/** The spans of a session of the outgoing proxy: the session, the connection to its server, and its transactions. */
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Tracing } from "../../../shared/runtime/tracing.ts";
import type { ObservedTransaction } from "./observed-transactions.ts";

export interface SessionTrace {
  /** @param failed  why there is no connection to the server, and no session */
  connected(failed?: string): void;
  observed(transaction: ObservedTransaction): void;
  ended(): void;
}

/** Transactions of one session that have a span. */
const maxTransactions = 100;

/** @returns `undefined` for a session that is not in the sample */
export function traceSession(
  tracing: Tracing,
  { id, listener }: Pick<ClientConnection, "id" | "listener">,
  now: () => number = Date.now,
): SessionTrace | undefined {
  const startedMs = now();
  const span = tracing.startTrace("session", startedMs, {
    "postern.session": id,
    "postern.listener": listener,
    "postern.handler": "outgoing-proxy",
  });
  if (span === undefined) return undefined;
  let transactions = 0;
  return {
    connected(failed) {
      tracing.startSpan("connect", span.traceparent, startedMs)?.end(now(), { failed });
      if (failed !== undefined) span.end(now(), { failed });
    },
    observed({ result, accepted, refused, octets }) {
      if (++transactions > maxTransactions) return;
      // When it began is not observed: the span stands where it ended.
      const nowMs = now();
      const attributes = {
        "postern.result": result,
        "postern.accepted": accepted.count,
        "postern.refused": refused.count,
        "postern.size": octets,
      };
      tracing.startSpan("transaction", span.traceparent, nowMs, attributes)?.end(nowMs);
    },
    ended: () => span.end(now(), { attributes: { "postern.transactions": transactions } }),
  };
}
