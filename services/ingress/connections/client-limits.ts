/**
 * What one client may have at once and in a time (`limits.clients`), over all ingress processes. Clients are counted
 * like destinations, by the same leases. Owns a socket while it waits for the answer.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";

import type { Limiter, SlotAnswer } from "../../../shared/limits/limiter.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { ipv6Network } from "../../../shared/net/network.ts";
import type { EventName, Logger } from "../../../shared/runtime/log.ts";
import type { LabelledCounter, Metrics } from "../../../shared/runtime/metrics.ts";

/** Whether a client may begin another message. */
export type MailLimit = (connection: ClientConnection) => boolean | Promise<boolean>;

export interface ClientLimits {
  /**
   * Counts the connection for as long as its socket is open.
   * @param handOn    takes the socket over
   * @param turnAway  likewise, to say that there are too many
   */
  connect(
    socket: net.Socket,
    connection: ClientConnection,
    handOn: () => void,
    refuseConnection: () => void,
  ): void;
  /** Absent: as many messages as they like. */
  mail?: MailLimit;
  close(): void;
}

export interface ClientLimitsOptions {
  limits: Config["limits"]["clients"];
  limiter: Pick<Limiter, "takeSlot" | "admitMessage">;
  log: Logger;
  metrics?: Metrics;
}

/** @returns `undefined` where nothing is limited */
export function createClientLimits(options: ClientLimitsOptions): ClientLimits | undefined {
  const { limits, limiter, log } = options;
  const { connections, rate } = limits;
  if (connections === undefined && rate === undefined) return undefined;
  const refusals: LabelledCounter | undefined = options.metrics?.counter(
    "client_limit_refusals_total",
    "Connections and messages refused because their client has reached its limit.",
    ["limit"],
  );
  const waiting = new Set<net.Socket>();
  let isClosed = false;

  function settle(
    taken: SlotAnswer,
    socket: net.Socket,
    connection: ClientConnection,
    handOn: () => void,
    refuseConnection: () => void,
  ): void {
    if (taken.kind === "slot") {
      const { slot } = taken;
      if (socket.destroyed) {
        slot.release();
        return;
      }
      socket.once("close", () => slot.release());
      if (isClosed) socket.destroy();
      else handOn();
      return;
    }
    refusals?.with("connections").add();
    log.info({
      event: "session.refused" satisfies EventName,
      session: connection.id,
      listener: connection.listener,
      client: connection.client.address,
      cause: "too-many-connections",
      reason: `the client has its ${connections} connections open`,
    });
    if (!socket.destroyed) refuseConnection();
  }

  return {
    connect(socket, connection, handOn, refuseConnection) {
      if (connections === undefined) return handOn();
      const taken = limiter.takeSlot({ destination: `client ${clientName(connection)}`, connections });
      if (!(taken instanceof Promise)) return settle(taken, socket, connection, handOn, refuseConnection);
      waiting.add(socket);
      taken
        .then((answer) => settle(answer, socket, connection, handOn, refuseConnection))
        .catch((error: unknown) => {
          log.error({ err: error, session: connection.id }, "a connection failed in our hands");
          socket.destroy();
        })
        .finally(() => waiting.delete(socket));
    },

    ...(rate === undefined
      ? {}
      : {
          mail(connection: ClientConnection): boolean | Promise<boolean> {
            const judge = (waitMs: number): boolean => {
              if (waitMs > 0) refusals?.with("rate").add();
              return waitMs === 0;
            };
            const waitMs = limiter.admitMessage(`client ${clientName(connection)}`, rate);
            return typeof waitMs === "number" ? judge(waitMs) : waitMs.then(judge);
          },
        }),

    close() {
      isClosed = true;
      for (const socket of waiting) socket.destroy();
    },
  };
}

/** A host has a whole /64 of IPv6 addresses to itself (RFC 7934): it is counted as one client. */
function clientName({ client }: Pick<ClientConnection, "client">): string {
  return client.address.includes(":") ? ipv6Network(client.address, 64) : client.address;
}

/** RFC 5321 §4.5.3.2 would have a client wait for minutes; one that only hears a reply has no reason to stay. */
const farewellMs = 10_000;

/** Says this in place of the greeting (RFC 5321 §3.8), and closes. */
export function refuseConnection(socket: net.Socket, reply: string | Buffer): void {
  const timer = setTimeout(() => socket.destroy(), farewellMs);
  socket.once("close", () => clearTimeout(timer));
  socket.end(reply);
  // What it sends is not wanted, but unread octets would turn our FIN into a reset, and the reply would be lost.
  socket.resume();
}
