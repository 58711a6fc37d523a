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
import { type Logger, logEvent } from "../../../shared/runtime/log.ts";
import type { LabelledCounter, Metrics } from "../../../shared/runtime/metrics.ts";

/** Whether a client may begin another message. */
export type MailLimit = (connection: ClientConnection) => boolean | Promise<boolean>;

/** Who has too many connections. */
export type FullOf = "client" | "process";

/** The two ends of a socket that is to be counted; one of them is called, at most once, and owns the socket then. */
export interface Admission {
  admit(): void;
  refuse(full: FullOf): void;
}

export interface ClientLimits {
  /** Counts the connection for as long as its socket is open. */
  countConnection(socket: net.Socket, connection: ClientConnection, admission: Admission): void;
  /** Absent: a client may send as many messages as it likes. */
  mail?: MailLimit;
  close(): void;
}

export interface ClientLimitsOptions {
  /** 0 connections: no limit. */
  limits: Pick<Config["limits"], "connections" | "clients">;
  limiter: Pick<Limiter, "takeSlot" | "admitMessage">;
  log: Logger;
  metrics?: Metrics;
}

export function createClientLimits(options: ClientLimitsOptions): ClientLimits {
  const { limits, limiter, log } = options;
  const { connections } = limits.clients;
  const rate = rateOf(limits.clients);
  const refusals: LabelledCounter | undefined = options.metrics?.counter(
    "client_limit_refusals_total",
    "Connections and messages refused because their client, or the process (all), has reached its limit.",
    ["limit"],
  );
  const waiting = new Set<net.Socket>();
  let openConnections = 0;
  /** Connections beyond `limits.connections` that get their reply: as many again, and the others are reset. */
  let openRefusals = 0;
  let isClosed = false;

  function conclude(
    taken: SlotAnswer,
    socket: net.Socket,
    connection: ClientConnection,
    admission: Admission,
  ): void {
    if (taken.kind !== "slot") {
      refuse("client", socket, connection, admission);
      return;
    }
    const { slot } = taken;
    if (socket.destroyed) {
      slot.release();
      return;
    }
    socket.once("close", () => slot.release());
    if (isClosed) socket.destroy();
    else admission.admit();
  }

  function refuse(
    full: FullOf,
    socket: net.Socket,
    connection: ClientConnection,
    admission: Admission,
  ): void {
    refusals?.with(full === "client" ? "connections" : "all").add();
    logEvent(log, {
      event: "session.refused",
      session: connection.id,
      listener: connection.listener,
      client: connection.client.address,
      cause: full === "client" ? "too-many-connections" : "process-full",
      reason:
        full === "client"
          ? `the client has its ${connections} connections open`
          : `this process has its ${limits.connections} connections open`,
    });
    if (socket.destroyed) return;
    if (full === "process" && openRefusals >= limits.connections) {
      socket.resetAndDestroy();
      return;
    }
    if (full === "process") {
      openRefusals++;
      socket.once("close", () => openRefusals--);
    }
    admission.refuse(full);
  }

  function admitMail(waitMs: number): boolean {
    if (waitMs > 0) refusals?.with("rate").add();
    return waitMs === 0;
  }

  return {
    countConnection(socket, connection, admission) {
      if (limits.connections > 0 && openConnections >= limits.connections)
        return refuse("process", socket, connection, admission);
      openConnections++;
      socket.once("close", () => openConnections--);
      if (connections === 0) return admission.admit();
      const taken = limiter.takeSlot({ destination: `client ${clientName(connection)}`, connections });
      if (!(taken instanceof Promise)) return conclude(taken, socket, connection, admission);
      waiting.add(socket);
      taken
        .then((answer) => conclude(answer, socket, connection, admission))
        .catch((error: unknown) => {
          log.error({ err: error, session: connection.id }, "an unexpected error ended a connection");
          socket.destroy();
        })
        .finally(() => waiting.delete(socket));
    },

    ...(rate === undefined
      ? {}
      : {
          mail(connection: ClientConnection): boolean | Promise<boolean> {
            const waitMs = limiter.admitMessage(`client ${clientName(connection)}`, rate);
            return typeof waitMs === "number" ? admitMail(waitMs) : waitMs.then(admitMail);
          },
        }),

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
