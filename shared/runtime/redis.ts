/** Opens connections to Redis as the configuration says. The caller of createRedis() closes the connection. */
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { Redis, type RedisOptions } from "ioredis";
import type { Config } from "../config/schema.ts";
import type { Logger } from "./log.ts";
import { Patience } from "./patience.ts";
import { isElsewhere, isTimeout, slotConnector } from "./redis-cluster.ts";
import { failUnanswered, limitCommands } from "./redis-commands.ts";
import { endWhenSilent } from "./redis-heartbeat.ts";
import { ignoreLateErrors } from "./redis-late-errors.ts";
import { sentinelConnector } from "./redis-sentinels.ts";
import { watchConnection } from "./redis-watch.ts";

/**
 * Braces make one hash slot of all keys: required by BullMQ on Redis Cluster. The prefix of all keys but for those of shards
 * (shared/shards).
 */
export const queuePrefix = "{postern}";

export type RedisConfig = NonNullable<Config["redis"]> & {
  /** Over how many shards the queues are spread: `queue.shards`. Absent: 1. */
  shards?: number;
};
export type RedisConnection = Redis;

/**
 * `producer`: commands fail at once while Redis is out of reach, and are never sent again.
 * `plain`: commands wait for a few seconds, then fail; they are never sent again.
 * `worker`: commands wait for Redis without a limit, as BullMQ's workers need it. One whose answer is missing when the
 * connection breaks is sent again, so what a worker sends may run twice.
 */
export type RedisPurpose = "producer" | "worker" | "plain";

/** How long a command may take but for those of workers, time to connect included. */
const deadlineMs = 5_000;
const connectTimeoutMs = 3_000;
/** So long a server may take to close a connection that we have ended; one that hangs never does. */
const disconnectTimeoutMs = 500;

/** Without `replyMapping`, which would change the shape of replies. */
type Options = Omit<RedisOptions, "replyMapping">;

/** The options that a single server, sentinels and a cluster have in common. */
type SharedOption =
  | "autoResendUnfulfilledCommands"
  | "autoResubscribe"
  | "connectTimeout"
  | "disconnectTimeout"
  | "enableOfflineQueue"
  | "keepAlive"
  | "maxRetriesPerRequest"
  | "password"
  | "reconnectOnError"
  | "retryStrategy"
  | "tls"
  | "username";

/**
 * Connects in the background; connection errors are logged once for each outage and never thrown.
 * @param prefix  of the keys: in a cluster the connection is one to the primary of their hash slot
 * @throws Error when a certificate file of `redis.tls` cannot be read, or the configuration names no server
 */
export function createRedis(
  config: RedisConfig,
  purpose: RedisPurpose,
  log: Logger,
  prefix: string = queuePrefix,
): RedisConnection {
  const connection = connect(config, purpose, prefix);
  const slot = prefix === queuePrefix ? "" : `, ${prefix}`;
  watchConnection(connection, `${describeRedis(config)}${slot}`, log);
  return connection;
}

/** The address of Redis for people and logs, without credentials. */
export function describeRedis(config: RedisConfig): string {
  if (config.cluster)
    return `cluster ${config.cluster.map(({ host, port }) => `${host}:${port}`).join(", ")}`;
  if (config.sentinels) {
    const sentinels = config.sentinels.map(({ host, port }) => `${host}:${port}`).join(", ");
    return `${config.name ?? "mymaster"} of sentinels ${sentinels}`;
  }
  const url = new URL(config.url ?? "redis://127.0.0.1:6379/0");
  return url.protocol === "unix:" ? url.pathname : `${url.hostname}:${url.port || 6379}${url.pathname}`;
}

/** Whether another server may take over, without the last writes of the one before: replication is asynchronous. */
export function canBeReplaced(config: RedisConfig): boolean {
  return config.sentinels !== undefined || config.cluster !== undefined;
}

function connect(config: RedisConfig, purpose: RedisPurpose, prefix: string): RedisConnection {
  const options: Pick<RedisOptions, SharedOption> = {
    ...behaviour(purpose),
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined ? {} : { password: config.password }),
    ...(config.tls === undefined ? {} : { tls: readTls(config.tls) }),
  };
  const { cluster, sentinels } = config;
  if (cluster !== undefined) {
    const key = `${prefix}:probe`;
    const Connector = (patience: Patience) =>
      slotConnector({ servers: cluster, key, patience, retryDelayMs });
    return open((patience) => ({ ...options, Connector: Connector(patience) }), purpose);
  }
  if (sentinels !== undefined) {
    const sentinelOptions: Options = {
      ...options,
      sentinels,
      name: config.name ?? "mymaster",
      // Ends the connection to a primary that was replaced and does not know it yet.
      failoverDetector: true,
      ...(config.sentinel_username === undefined ? {} : { sentinelUsername: config.sentinel_username }),
      ...(config.sentinel_password === undefined ? {} : { sentinelPassword: config.sentinel_password }),
      ...(config.tls === undefined
        ? {}
        : { enableTLSForSentinelMode: true, sentinelTLS: readTls(config.tls) }),
    };
    return open((patience) => ({ ...sentinelOptions, Connector: sentinelConnector(patience) }), purpose);
  }
  const standalone = { ...fromUrl(config.url ?? "redis://127.0.0.1:6379/0"), ...options };
  return open(() => standalone, purpose);
}

/** One server at a time. Its duplicates, which BullMQ makes, are watched as it is itself. */
function open(optionsFor: (patience: Patience) => Options, purpose: RedisPurpose): Redis {
  const patience = new Patience();
  const options = optionsFor(patience);
  const redis = new Redis({ ...options, lazyConnect: true });
  redis.options.lazyConnect = options.lazyConnect ?? false;
  // ioredis reads it whenever it connects.
  Object.defineProperty(redis.options, "connectTimeout", {
    get: () => patience.of(connectTimeoutMs),
    enumerable: true,
  });
  redis.on("error", (error) => {
    if (isTimeout(error)) patience.exceeded();
  });
  ignoreLateErrors(redis);
  endWhenSilent(redis, patience);
  limitCommands(redis, purpose === "worker" ? undefined : deadlineMs);
  if (purpose !== "worker") failUnanswered(redis);
  if (options.lazyConnect !== true) redis.connect().catch(() => {});
  const duplicate = (more: Options = {}) => open((theirs) => ({ ...optionsFor(theirs), ...more }), purpose);
  return Object.assign(redis, { duplicate });
}

/** Reads a URL: `redis://[user:password@]host[:port][/db]`, `rediss://…`, `unix:///path[?db=n]`. */
function fromUrl(text: string): Options {
  const url = new URL(text);
  const options: Options = {};
  if (url.username !== "") options.username = decodeURIComponent(url.username);
  if (url.password !== "") options.password = decodeURIComponent(url.password);
  if (url.protocol === "unix:") {
    options.path = decodeURIComponent(url.pathname);
    options.db = Number(url.searchParams.get("db") ?? 0);
    return options;
  }
  options.host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  options.port = Number(url.port || 6379);
  options.db = Number(url.pathname.slice(1) || 0);
  if (url.protocol === "rediss:") options.tls = { servername: options.host };
  return options;
}

function behaviour(purpose: RedisPurpose): Pick<RedisOptions, SharedOption> {
  const common: Pick<RedisOptions, SharedOption> = {
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    keepAlive: 10_000,
    // ioredis handles no failure of a subscription that it repeats: closed meanwhile, the process would end. Who
    // subscribes does so at each `ready`.
    autoResubscribe: false,
    // After a failover the old master answers READONLY until it stops: reconnect to find the new one, and send again.
    reconnectOnError: (error) => (error.message.startsWith("READONLY") || isElsewhere(error) ? 2 : false),
    retryStrategy: retryDelayMs,
  };
  const once = {
    ...common,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: purpose !== "producer",
  };
  switch (purpose) {
    case "producer":
      return { ...once, maxRetriesPerRequest: 0 };
    case "plain":
      return { ...once, maxRetriesPerRequest: null };
    case "worker":
      return { ...common, maxRetriesPerRequest: null };
  }
}

/** At most a second, so that deliveries resume within a second of Redis' return. */
function retryDelayMs(times: number): number {
  return Math.min(50 * 2 ** Math.min(times, 5), 1_000);
}

function readTls(tls: NonNullable<RedisConfig["tls"]>): ConnectionOptions {
  const options: ConnectionOptions = {};
  if (tls.ca !== undefined) options.ca = readPem(tls.ca);
  if (tls.cert !== undefined) options.cert = readPem(tls.cert);
  if (tls.key !== undefined) options.key = readPem(tls.key);
  if (tls.servername !== undefined) options.servername = tls.servername;
  return options;
}

/** @param value  a file name, or the PEM text itself, which an environment variable may hold */
function readPem(value: string): string | Buffer {
  return value.includes("-----BEGIN") ? value : readFileSync(value);
}
