/** Logs each outage of Redis once, and its end once, however many connections a process has. */
import type { Redis } from "ioredis";
import type { Logger } from "./log.ts";
import { SilentServer } from "./redis-heartbeat.ts";

/** A connection that is ready again within this time is not logged. */
const graceMs = 300;
/** The same just after an outage: connections notice a failover within seconds of each other. */
const afterOutage = { lastsMs: 10_000, graceMs: 3_000 };

interface Outage {
  away: Set<Redis>;
  sinceMs: number;
  logged: boolean;
}

/** By the server, as describeRedis() shows it. */
const outages = new Map<string, Outage>();
/** When the last one ended that was logged, by the monotonic clock. */
const endedAtMs = new Map<string, number>();

/** Why a connection is not ready, for connections that are watched. */
const lastErrors = new WeakMap<object, string>();

export function lastError(connection: object): string | undefined {
  return lastErrors.get(connection);
}

/** Also handles the `error` events of each failed reconnection, which would end the process otherwise. */
export function watchConnection(connection: Redis, where: string, log: Logger): void {
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const away = (): void => {
    if (isClosed) return;
    const outage = outages.get(where) ?? { away: new Set(), sinceMs: Date.now(), logged: false };
    outages.set(where, outage);
    outage.away.add(connection);
    if (outage.logged || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (outage.logged || !outage.away.has(connection)) return;
      outage.logged = true;
      log.warn({ redis: where, error: lastError(connection) ?? "connection lost" }, "Redis is out of reach");
    }, graceOf(where));
    timer.unref();
  };

  const back = (ended: boolean): void => {
    clearTimeout(timer);
    timer = undefined;
    const outage = outages.get(where);
    if (!outage?.away.delete(connection) || outage.away.size > 0) return;
    outages.delete(where);
    if (outage.logged && !ended) {
      endedAtMs.set(where, performance.now());
      log.info({ redis: where, awayMs: Date.now() - outage.sinceMs }, "Redis is back");
    }
  };

  // Closed while it waits to connect again, a connection does not say `end`; what breaks while it closes is no outage.
  const disconnect = connection.disconnect.bind(connection);
  connection.disconnect = (reconnect = false) => {
    if (!reconnect) {
      isClosed = true;
      back(true);
    }
    disconnect(reconnect);
  };
  connection.on("error", (error: Error) => {
    lastErrors.set(connection, error.message);
    if (connection.status !== "ready") away();
  });
  connection.on("close", away);
  connection.on("ready", () => {
    lastErrors.delete(connection);
    back(false);
  });
  connection.on("end", () => back(true));
}

function graceOf(where: string): number {
  const sinceMs = performance.now() - (endedAtMs.get(where) ?? Number.NEGATIVE_INFINITY);
  return sinceMs < afterOutage.lastsMs ? afterOutage.graceMs : graceMs;
}

/**
 * Whether an error says no more than that Redis is away, or that the connection was closed: the watch logs each outage.
 * @param connection  the one that failed, or one to the same server
 */
export function isOutage(error: Error, connection: Pick<Redis, "status">): boolean {
  // System errors of sockets and of name resolution have the name of their call.
  return (
    connection.status !== "ready" ||
    "syscall" in error ||
    error instanceof SilentServer ||
    /Connection is closed|Stream isn't writeable|All sentinels are unreachable|no server of the cluster takes commands/.test(
      error.message,
    )
  );
}
