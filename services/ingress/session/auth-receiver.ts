/**
 * The AUTH command of a session (RFC 4954): the exchange of lines, the check, the slow reply to a failure. What a client
 * sends in an exchange is never logged.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import type { Reply } from "../../../shared/smtp/reply.ts";
import { unreachable } from "../../../shared/unreachable.ts";
import { failureDelayMs, type LoginResult } from "../auth/authenticator.ts";
import type { ClientGreeting } from "../message/record.ts";
import { replies } from "../message/session-replies.ts";
import type { Answer } from "./envelope-receiver.ts";
import type { ErrorBudget } from "./error-budget.ts";
import {
  beginExchange,
  type Credentials,
  continueExchange,
  type Exchange,
  type Mechanism,
  type Step,
} from "./sasl.ts";
import type { LineFault } from "./session-input.ts";
import type { SessionLog } from "./session-log.ts";
import type { SessionProfile } from "./session-profile.ts";

/** Waits before the reply to a failure; ends early, and never rejects, when the client has gone. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>;

export const pause: Pause = (ms, signal) => wait(ms, undefined, { signal }).catch(() => undefined);

/** What it needs of its session. */
export interface AuthSession {
  readonly connection: ClientConnection;
  readonly greeting: ClientGreeting;
  /** Under TLS. */
  readonly secure: boolean;
  readonly hasTransaction: boolean;
  loggedIn(user: string): void;
}

export class AuthReceiver {
  readonly #session: AuthSession;
  readonly #profile: SessionProfile;
  readonly #sessionLog: SessionLog;
  readonly #budget: ErrorBudget;
  /** Of the check under way. Made for each, since few sessions log in. */
  #checking: AbortController | undefined;
  #exchange: Exchange | undefined;

  constructor(session: AuthSession, profile: SessionProfile, sessionLog: SessionLog, budget: ErrorBudget) {
    this.#session = session;
    this.#profile = profile;
    this.#sessionLog = sessionLog;
    this.#budget = budget;
  }

  /** The next line is a response and no command. */
  get isOpen(): boolean {
    return this.#exchange !== undefined;
  }

  /** The client waits for us. */
  get isChecking(): boolean {
    return this.#checking !== undefined;
  }

  /** @param argument  what follows AUTH */
  receiveAuth(argument: string): Answer {
    const obstacle = this.#obstacle();
    if (obstacle !== undefined) return this.#budget.countError(obstacle);
    return this.#follow(beginExchange(argument));
  }

  receiveResponse(line: string): Answer {
    const exchange = this.#exchange;
    if (exchange === undefined) return this.#budget.countError(replies.unknownCommand);
    this.#exchange = undefined;
    return this.#follow(continueExchange(exchange, line));
  }

  /** In place of a response came a line that is none. @returns its reply; the exchange is over */
  receiveFault(fault: LineFault): Reply {
    this.#exchange = undefined;
    return this.#budget.countError(fault === "too-long" ? replies.authLineTooLong : replies.badBase64);
  }

  /** The session is over. */
  abandon(): void {
    this.#exchange = undefined;
    this.#checking?.abort();
  }

  #obstacle(): Reply | undefined {
    if (this.#profile.authenticator === undefined) return replies.notImplemented;
    if (this.#session.greeting.helo === "") return replies.heloFirst;
    if (!this.#session.secure) return replies.authNeedsTls;
    if (this.#session.greeting.user !== undefined) return replies.authAlready;
    // RFC 4954 §4.
    return this.#session.hasTransaction ? replies.authInTransaction : undefined;
  }

  #follow(step: Step): Answer {
    switch (step.kind) {
      case "challenge":
        this.#exchange = step.exchange;
        return step.reply;
      case "credentials":
        return this.#check(step.mechanism, step.credentials);
      case "other-identity":
        this.#sessionLog.loginFailed(
          { mechanism: step.mechanism, cause: "other-identity" },
          replies.authFailed,
        );
        return this.#budget.countFailedLogin(replies.authFailed);
      case "refused":
        return this.#budget.countError(step.reply);
      default:
        return unreachable(step);
    }
  }

  async #check(mechanism: Mechanism, credentials: Credentials): Promise<Reply | undefined> {
    const { authenticator } = this.#profile;
    if (authenticator === undefined) return replies.notImplemented;
    this.#checking = new AbortController();
    const { signal } = this.#checking;
    const { connection } = this.#session;
    const result = await authenticator.authenticate({ ...credentials, connection, signal });
    const reply = this.#conclude(mechanism, credentials.user, result);
    if (result.kind === "refused") await this.#profile.pause(failureDelayMs(result.failures), signal);
    this.#checking = undefined;
    return signal.aborted ? undefined : reply;
  }

  /** Logs what became of a login, and counts a failure. @returns the reply */
  #conclude(mechanism: Mechanism, user: string, result: LoginResult): Reply {
    switch (result.kind) {
      case "accepted":
        this.#session.loggedIn(user);
        this.#sessionLog.loggedIn({ mechanism, user });
        return replies.authAccepted;
      case "refused": {
        const { failures, isKnownUser } = result;
        // A name that nobody has may be a password.
        const facts = { mechanism, cause: "credentials", failures, ...(isKnownUser ? { user } : {}) };
        this.#sessionLog.loginFailed(facts, replies.authFailed);
        return this.#budget.countFailedLogin(replies.authFailed);
      }
      case "over-limit":
        this.#sessionLog.loginFailed({ mechanism, cause: `${result.of}-limit` }, replies.tooManyLogins);
        return this.#budget.countError(replies.tooManyLogins);
      case "unavailable":
        this.#sessionLog.loginFailed(
          { mechanism, cause: "unavailable", reason: result.reason },
          replies.authUnavailable,
        );
        return replies.authUnavailable;
      default:
        return unreachable(result);
    }
  }
}
