/** What a client may do wrong before its session is ended; a message that is accepted restores it. Pure. */
import type { Reply } from "../../../shared/smtp/reply.ts";

/** Bad commands. */
const maxErrors = 20;
/** Commands that move no mail (NOOP, RSET, VRFY, …) before each counts as an error. */
const maxIdleCommands = 100;
/** A client that is denied so many recipients, and has no message accepted, looks for an open relay or for addresses. */
const maxDenied = 100;

/** Whoever mistypes a password has a second and a third try; whoever guesses has to connect again. */
const maxFailedLogins = 3;

export class ErrorBudget {
  #errors = 0;
  #idleCommands = 0;
  #denied = 0;
  #failedLogins = 0;

  /** Bad commands so far. */
  get errors(): number {
    return this.#errors;
  }

  get isSpent(): boolean {
    return this.#errors >= maxErrors || this.#denied >= maxDenied || this.#failedLogins >= maxFailedLogins;
  }

  /** Counts a command that is wrong in itself, whichever address it names. @returns its reply */
  countError(reply: Reply): Reply {
    this.#errors++;
    return reply;
  }

  /** Counts a command that moves no mail. @returns its reply */
  countIdleCommand(reply: Reply): Reply {
    this.#idleCommands++;
    return this.#idleCommands > maxIdleCommands ? this.countError(reply) : reply;
  }

  /** Counts a recipient that routing or its own server denies. @returns its reply */
  countDenied(reply: Reply): Reply {
    this.#denied++;
    return reply;
  }

  /** Counts a login with credentials that are wrong; mail does not make up for it. @returns its reply */
  countFailedLogin(reply: Reply): Reply {
    this.#failedLogins++;
    return reply;
  }

  restore(): void {
    this.#errors = 0;
    this.#idleCommands = 0;
    this.#denied = 0;
  }
}
