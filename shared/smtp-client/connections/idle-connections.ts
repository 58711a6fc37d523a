/**
 * Open sessions of one destination that wait for the next message. They are closed when they have been idle for too
 * long, when the server says something unasked, or when their slot is needed. How to close one is the pool's business.
 */
import type { Slot } from "../../limits/limiter.ts";
import type { Session } from "../session/session.ts";

/** How long a session waits for another message: servers dislike idle clients, and other workers may need the slot. */
const maxIdleMs = 5000;
/** A session is not used for ever: servers move, and certificates and policies change. */
const maxAgeMs = 300_000;

export interface IdleConnection {
  /** What must be equal for the session to be shared. */
  readonly key: string;
  readonly slot: Slot;
  readonly session: Session;
  readonly sinceMs: number;
}

/** Whether a session may carry another message. */
export function isReusable(session: Session, messagesPerConnection: number, nowMs: number): boolean {
  return (
    session.connection.isInStep &&
    session.transactions < messagesPerConnection &&
    nowMs - session.openedAtMs < maxAgeMs
  );
}

export class IdleConnections {
  /** The longest idle one stands first. */
  readonly #connections: IdleConnection[] = [];
  readonly #close: (connection: IdleConnection) => void;

  constructor(close: (connection: IdleConnection) => void) {
    this.#close = close;
  }

  get size(): number {
    return this.#connections.length;
  }

  add(connection: IdleConnection): void {
    // 421 and a closed connection are all that a server may say unasked (RFC 5321 §3.8).
    connection.session.connection.onUnexpected = () => {
      const at = this.#connections.indexOf(connection);
      if (at < 0) return;
      this.#connections.splice(at, 1);
      this.#close(connection);
    };
    this.#connections.push(connection);
  }

  /** The one with this key that was used last. */
  take(key: string): IdleConnection | undefined {
    for (;;) {
      const at = this.#connections.findLastIndex((connection) => connection.key === key);
      if (at < 0) return undefined;
      const [connection] = this.#connections.splice(at, 1);
      if (connection?.session.connection.isInStep) {
        connection.session.connection.onUnexpected = undefined;
        return connection;
      }
      // The beginning of a reply has come that answers no command.
      if (connection !== undefined) this.#close(connection);
    }
  }

  closeOldest(): void {
    const oldest = this.#connections.shift();
    if (oldest !== undefined) this.#close(oldest);
  }

  /** Closes the longest idle one to a host. @returns whether there is one */
  closeOneAt(countedAs: string): boolean {
    const at = this.#connections.findIndex(({ session }) => session.countedAs === countedAs);
    if (at < 0) return false;
    for (const connection of this.#connections.splice(at, 1)) this.#close(connection);
    return true;
  }

  closeExpired(nowMs: number): void {
    for (;;) {
      const [oldest] = this.#connections;
      if (oldest === undefined || nowMs - oldest.sinceMs < maxIdleMs) return;
      this.closeOldest();
    }
  }

  closeAll(): void {
    for (const connection of this.#connections.splice(0)) this.#close(connection);
  }
}
