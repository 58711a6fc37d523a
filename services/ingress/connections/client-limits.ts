/**
 * How many connections a client may have and how many messages it may send in a time (`limits.clients`), over all
 * ingress processes: clients are counted by the same leases as destinations. And how many connections all clients may
 * have in this process (`limits.connections`). Owns a socket while it waits for the answer.
 */
import type net from "node:net";
import type { Config } from "../../../shared/config/schema.ts";
import { rateOf } from "../../../shared/config/values.ts";
import type { Limiter, SlotAnswer } from "../../../shared/limits/limiter.ts";
import type { ClientConnection } from "../../../shared/mail/client-connection.ts";
import { ipv6Network } from "../../../shared/net/network.ts";
import type { Live } from "../../../shared/runtime/live.ts";
import { type Logger, logEvent } from "../../../shared/runtime/log.ts";
import type { LabelledCounter, Metrics } from "../../../shared/runtime/metrics.ts";
import type { Admission } from "../admission/admission.ts";

/** Whether a client may begin another message. */
export type MailLimit = (connection: ClientConnection) => boolean | Promise<boolean>;

/** Who has too many connections. */
export type FullOf = "client" | "process";

/** The two ends of a socket that is to be counted; one of them is called, at most once, and owns the socket then. */
export interface CountedConnection {
  admit(): void;
  refuse(full: FullOf): void;
}

export interface ClientLimits {
  /** Counts the connection for as long as its socket is open. */
  countConnection(socket: net.Socket, connection: ClientConnection, counted: CountedConnection): void;
  /** By `limits.clients.rate`; `undefined`: a client may send as many messages as it likes. */
  mailLimitOf(config: Pick<Config, "limits">): MailLimit | undefined;
  close(): void;
}

export interface ClientLimitsOptions {
  /** Read for each connection. 0 connections: no limit. */
  live: Live<Pick<Config, "limits">>;
  /** Whether this process may have another connection. */
  admission: Pick<Admission, "refuseConnection" | "released">;
  limiter: Pick<Limiter, "takeSlot" | "admitMessage">;
  log: Logger;
  metrics?: Metrics;
}

/** @param limit  `limits.connections` */
export function createLimitMetrics(limit: () => number, metrics?: Metrics): LabelledCounter | undefined {
  metrics?.gauge(
    "connections_limit",
    "limits.connections: how many connections the process takes at once; 0: any number.",
    limit,
  );
  return metrics?.counter(
    "client_limit_refusals_total",
    "Connections and messages refused because their client (connections, rate) or the process (all) has reached its limit. `all` grows: run another ingress. Else find the client by `session.refused` in the log, and raise limits.clients if it is a good one.",
    ["limit"],
  );
}

export function createClientLimits(options: ClientLimitsOptions): ClientLimits {
  const { live, limiter, log, admission } = options;
  const refusals = createLimitMetrics(() => live.current.limits.connections, options.metrics);
  const waiting = new Set<net.Socket>();
  /** Connections that get a reply although the process is full: as many as it may have, and the others are reset. */
  const mostRefusals = ({ connections }: Config["limits"]) => (connections > 0 ? connections : 1000);
  let openRefusals = 0;
  let isClosed = false;

  function conclude(
    taken: SlotAnswer,
    socket: net.Socket,
    connection: ClientConnection,
    counted: CountedConnection,
  ): void {
    if (taken.kind !== "slot") {
      refuse("client", socket, connection, counted);
      return;
    }
    const { slot } = taken;
    if (socket.destroyed) {
      slot.release();
      return;
    }
    socket.once("close", () => slot.release());
    if (isClosed) socket.destroy();
    else counted.admit();
  }

  function refuse(
    full: FullOf,
    socket: net.Socket,
    connection: ClientConnection,
    counted: CountedConnection,
  ): void {
    const { limits } = live.current;
    refusals?.with(full === "client" ? "connections" : "all").add();
    // Of a full process the log has one line at the beginning and one at the end.
    if (full === "client")
      logEvent(log, {
        event: "session.refused",
        session: connection.id,
        listener: connection.listener,
        client: connection.client.address,
        cause: "too-many-connections",
        reason: `the client has its ${limits.clients.connections} connections open`,
      });
    if (socket.destroyed) return;
    if (full === "process" && openRefusals >= mostRefusals(limits)) {
      socket.resetAndDestroy();
      return;
    }
    if (full === "process") {
      openRefusals++;
      socket.once("close", () => openRefusals--);
    }
    counted.refuse(full);
  }

  function admitMail(waitMs: number): boolean {
    if (waitMs > 0) refusals?.with("rate").add();
    return waitMs === 0;
  }

  return {
    countConnection(socket, connection, counted) {
      const { connections } = live.current.limits.clients;
      if (admission.refuseConnection()) return refuse("process", socket, connection, counted);
      socket.once("close", () => admission.released());
      if (connections === 0) return counted.admit();
      const taken = limiter.takeSlot({ destination: `client ${clientName(connection)}`, connections });
      if (!(taken instanceof Promise)) return conclude(taken, socket, connection, counted);
      waiting.add(socket);
      taken
        .then((answer) => conclude(answer, socket, connection, counted))
        .catch((error: unknown) => {
          log.error({ err: error, session: connection.id }, "an unexpected error ended a connection");
          socket.destroy();
        })
        .finally(() => waiting.delete(socket));
    },

    mailLimitOf({ limits }) {
      const rate = rateOf(limits.clients);
      if (rate === undefined) return undefined;
      return (connection) => {
        const waitMs = limiter.admitMessage(`client ${clientName(connection)}`, rate);
        return typeof waitMs === "number" ? admitMail(waitMs) : waitMs.then(admitMail);
      };
    },

    close() {
      isClosed = true;
      for (const socket of waiting) socket.destroy();
    },
  };
}

/** A host has a whole /64 of IPv6 addresses to itself (RFC 7934): it is counted as one client. */
export function clientName({ client }: Pick<ClientConnection, "client">): string {
  return client.address.includes(":") ? ipv6Network(client.address, 64) : client.address;
}
