/**
 * Checks the credentials of clients: failures are limited before and counted behind the check, and few checks run at
 * once. What it holds for a login is given back when the check is over, however long the client waits for its reply.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { LoginFailures } from "../../../shared/limits/login-failures.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Logger } from "../../../shared/runtime/log.ts";
import { clientName } from "../connections/client-limits.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface LoginRequest {
  user: string;
  password: string;
  connection: ClientConnection;
  /** The client has gone: the check need not begin. */
  signal: AbortSignal;
}

export type LoginResult =
  | { kind: "accepted" }
  | {
      kind: "refused";
      /** Failures of this client in the period. */
      failures: number;
      /** Somebody has this name; who has not may have typed a password in its place. */
      isKnownUser: boolean;
    }
  /** Too many failures: the password was not looked at. */
  | { kind: "over-limit"; of: "client" | "user" }
  /** The check cannot be made now. */
  | { kind: "unavailable"; reason: string };

/** Whether a name and a password belong together. */
export type CredentialCheck = (request: LoginRequest) => Promise<CheckResult>;

export type CheckResult =
  | { kind: "right" }
  | { kind: "wrong"; isKnownUser: boolean }
  | { kind: "unavailable"; reason: string };

export interface AuthenticatorDeps {
  check: CredentialCheck;
  failures: LoginFailures;
  limits: NonNullable<Config["auth"]>["failures"];
  queue: WorkQueue;
  log: Logger;
}

export interface Authenticator {
  /** Never rejects. */
  authenticate(request: LoginRequest): Promise<LoginResult>;
}

export function createAuthenticator({
  check,
  failures,
  limits,
  queue,
  log,
}: AuthenticatorDeps): Authenticator {
  async function checkCounted(request: LoginRequest, hasWaited: boolean): Promise<LoginResult> {
    const { user, connection, signal } = request;
    if (signal.aborted) return { kind: "unavailable", reason: "the client has gone" };
    const attempt = { client: clientName(connection), user: user.toLowerCase() };
    // Those who waited may all have come before the first of them failed.
    const of = hasWaited ? await failures.limitReached(attempt, limits) : undefined;
    if (of !== undefined) return { kind: "over-limit", of };
    const checked = await check(request);
    switch (checked.kind) {
      case "right":
        failures.countSuccess(attempt);
        return { kind: "accepted" };
      case "wrong": {
        const { isKnownUser } = checked;
        return { kind: "refused", failures: await failures.countFailure(attempt, limits), isKnownUser };
      }
      case "unavailable":
        return checked;
    }
  }

  return {
    async authenticate(request) {
      try {
        const attempt = { client: clientName(request.connection), user: request.user.toLowerCase() };
        const of = await failures.limitReached(attempt, limits);
        if (of !== undefined) return { kind: "over-limit", of };
        const result = queue.run((hasWaited) => checkCounted(request, hasWaited));
        return result === undefined
          ? { kind: "unavailable", reason: "too many logins at once" }
          : await result;
      } catch (error) {
        log.error({ session: request.connection.id, err: error }, "a login failed by our own fault");
        return { kind: "unavailable", reason: "local error" };
      }
    },
  };
}

const firstDelayMs = 1_000;
const longestDelayMs = 8_000;

/** How long a client waits for the reply to a failed login: twice as long after each failure. Pure. */
export function failureDelayMs(failures: number): number {
  return Math.min(longestDelayMs, firstDelayMs * 2 ** Math.max(0, failures - 1));
}
