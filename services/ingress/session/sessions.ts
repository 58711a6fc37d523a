/**
 * The queued sessions of an ingress: the gateway itself answers the client, and accepts its messages into the spool or
 * delivers them inline. Starts a session on each classified socket, and ends every session that it started.
 */
import type net from "node:net";
import type { ListenerConfig } from "../../../shared/config/schema.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { type Commit, LiveValue } from "../../../shared/runtime/live.ts";
import type { FullOf } from "../connections/client-limits.ts";
import { OpenConnections } from "../connections/open-connections.ts";
import { refuseConnection } from "../connections/rejection.ts";
import { replies } from "../message/session-replies.ts";
import { QueuedSession } from "./session.ts";
import {
  makeProfiles,
  type SessionSettings,
  type SessionsOptions,
  shareBySessions,
} from "./session-profile.ts";

export interface Sessions {
  /**
   * Starts a session on a socket that is paused and has been sent nothing; octets may have been unshifted.
   * The socket belongs to the session from then on.
   */
  startSession(socket: net.Socket, connection: ClientConnection, listener: ListenerConfig): void;
  /** In place of startSession(), where there are too many connections. */
  refuseConnection(socket: net.Socket, full: FullOf): void;
  /** Open sessions. */
  readonly active: number;
  /** Certificates that cannot be used, one line each: the ones before them are. */
  readonly faults: string[];
  /**
   * Sessions that start after the commit follow these settings. Certificate files are read again.
   * @throws Error when one that has not been in use cannot be read
   */
  prepare(settings: SessionSettings): Commit;
  /** Ends the sessions that are open as close() does, in their own time. */
  endWhenIdle(): void;
  /**
   * Starts no more sessions; idle ones get 421 4.3.2, those in a transaction after it. What is left after `graceMs` is
   * cut; a message that is being stored then stays accepted, unheard. Resolves when all are closed.
   */
  close(graceMs: number): Promise<void>;
}

/** @throws Error when a certificate or key cannot be read */
export function createSessions(options: SessionsOptions): Sessions {
  const shared = shareBySessions(options);
  const profiles = new LiveValue(makeProfiles(shared, options));
  const open = new OpenConnections<QueuedSession>();
  return {
    startSession(socket, connection, listener) {
      const profile = profiles.current.byListener.get(listener.name);
      if (profile === undefined) throw new Error(`no listener is called ${listener.name}`);
      if (open.isClosing || socket.destroyed) {
        socket.on("error", () => {});
        if (!socket.destroyed) socket.end(replies.closing.wire, () => socket.destroy());
        return;
      }
      const session = new QueuedSession(socket, connection, profile, () => open.delete(session));
      open.set(session, {
        endWhenIdle: () => session.endWhenIdle(replies.closing),
        cut: () => session.cut(replies.closing),
      });
      session.init();
    },
    refuseConnection(socket, full) {
      refuseConnection(socket, (full === "client" ? replies.tooManyConnections : replies.processFull).wire);
    },
    get active() {
      return open.size;
    },
    get faults() {
      return profiles.current.certificates.faults();
    },
    prepare(settings) {
      const made = makeProfiles(shared, settings, profiles.current);
      return () => {
        shared.envelopeMemory.limit(settings.config.limits);
        profiles.replace(made);
      };
    },
    endWhenIdle: () => open.endWhenIdle(),
    close: (graceMs) => open.close(graceMs),
  };
}
