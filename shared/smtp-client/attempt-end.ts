/** What ends an attempt before all its hosts were asked: stop(), its signal, or the longest time that it may take. */
import { interruptionOf } from "../runtime/interruption.ts";
import { deferred, type Failure } from "../smtp/diagnose.ts";
import { attemptStopped, type DisconnectReason, seconds, stopped } from "./session/disconnect-reason.ts";
import type { Session } from "./session/session.ts";
import type { SessionOpener } from "./session-opener.ts";

export interface AttemptEndDeps {
  signal: AbortSignal;
  opener: Pick<SessionOpener, "stop">;
  /** The session that is open now. */
  session: () => Session | undefined;
}

export class AttemptEnd {
  readonly #deps: AttemptEndDeps;
  #why: DisconnectReason | undefined;
  #isStopped = false;

  constructor(deps: AttemptEndDeps) {
    this.#deps = deps;
  }

  /** Stopped or late: nothing more is begun. */
  get hasCome(): boolean {
    return this.#why !== undefined;
  }

  /** The attempt is not carried to its end: by stop(), or by its signal. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Ends the attempt at once, also behind the final dot. */
  stop(): void {
    this.#isStopped = true;
    this.#end(attemptStopped);
    this.#cut(attemptStopped);
  }

  /** Follows the signal and the clock. @returns a function that ends this */
  watch(longestMs: number): () => void {
    const { signal } = this.#deps;
    const interrupt = () => this.#interrupt();
    if (signal.aborted) interrupt();
    else signal.addEventListener("abort", interrupt);
    const late: DisconnectReason = {
      kind: "timeout",
      reason: `the attempt took longer than ${seconds(longestMs)}`,
    };
    const deadline = setTimeout(() => this.#end(late), longestMs);
    return () => {
      clearTimeout(deadline);
      signal.removeEventListener("abort", interrupt);
    };
  }

  /** The failure of recipients that no host was asked about. */
  failure(nowMs: number): Failure {
    if (this.#why?.kind !== "timeout") return stopped(nowMs);
    return deferred("network", "4.4.2", this.#why.reason, nowMs);
  }

  #interrupt(): void {
    if (interruptionOf(this.#deps.signal) === "stopping") {
      this.#isStopped = true;
      this.#end(attemptStopped);
    } else {
      this.stop();
    }
  }

  /** Nothing more is begun, and what is under way is cut. A server that has the whole message keeps its time to reply. */
  #end(why: DisconnectReason): void {
    this.#why = why;
    this.#deps.opener.stop(why);
    if (this.#deps.session()?.isAwaitingDot !== true) this.#cut(why);
  }

  #cut({ kind, reason }: DisconnectReason): void {
    this.#deps.session()?.connection.destroy(kind, reason);
  }
}
