/** Requests and sessions for unit tests of the connection pool: no socket behind them. */
import type { PriorityClass } from "../../shared/limits/priority-class.ts";
import type { ConnectionRequest } from "../../shared/smtp-client/connections/connection-request.ts";
import type { Session } from "../../shared/smtp-client/session/session.ts";

export const fresh: PriorityClass = { name: "delivery", jobs: 10, isSlow: false };
export const slow: PriorityClass = { name: "delivery-slow", jobs: 10, isSlow: true };

/** Of four connections: slow mail may have three. */
export function connectionRequest(
  priorityClass: PriorityClass | undefined,
  more: Partial<ConnectionRequest> = {},
): ConnectionRequest {
  return {
    key: "k",
    destination: "example.org",
    reachabilityKey: "mx example.org",
    limits: { connections: 4, messagesPerConnection: 100 },
    share: priorityClass?.isSlow === true ? 3 : 4,
    ignoreDeadCache: false,
    priorityClass,
    retryQueue: `${priorityClass?.name} example.org`,
    signal: new AbortController().signal,
    ...more,
  };
}

/** @param isInStep  whether the server has said no more than it was asked */
export function openSession(isInStep = true): Session & { saySomething(): void } {
  const connection: { isInStep: boolean; onUnexpected: (() => void) | undefined } = {
    isInStep,
    onUnexpected: undefined,
  };
  return {
    connection,
    transactions: 1,
    openedAtMs: 0,
    saySomething() {
      connection.isInStep = false;
      connection.onUnexpected?.();
    },
  } as unknown as Session & { saySomething(): void };
}
