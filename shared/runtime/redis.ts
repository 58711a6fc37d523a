/** Opens connections to Redis as the configuration says. The caller of createRedis() closes the connection. */
import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { Config } from "../config/schema.ts";
import type { Logger } from "./log.ts";
import { watchConnection } from "./redis-watch.ts";

/** Braces make one hash slot of all keys: required by BullMQ on Redis Cluster. */
export const queuePrefix = "{postern}";

export type RedisConfig = NonNullable<Config["redis"]>;
export type RedisConnection = Redis | Cluster;

/**
 * `producer`: commands fail at once while Redis is out of reach, and are never sent again.
 * `worker`: commands wait for Redis without a limit, as BullMQ's workers need it.
 * `plain`: commands wait for a few seconds, then fail.
 */
export type RedisPurpose = "producer" | "worker" | "plain";

/** How long a `plain` command may take, time to connect included. */
const plainTimeoutMs = 5_000;
const connectTimeoutMs = 5_000;

/** Without `replyMapping`, which would change the shape of replies. */
type Options = Omit<RedisOptions, "replyMapping">;

/** The options that a single server, sentinels and a cluster have in common. */
type SharedOption =
  | "autoResendUnfulfilledCommands"
  | "autoResubscribe"
  | "commandTimeout"
  | "connectTimeout"
  | "keepAlive"
  | "maxRetriesPerRequest"
  | "password"
  | "reconnectOnError"
  | "tls"
  | "username";

/**
 * Connects in the background; connection errors are logged once for each outage and never thrown.
 * @throws Error when a certificate file of `redis.tls` cannot be read, or the configuration names no server
 */
export function createRedis(config: RedisConfig, purpose: RedisPurpose, log: Logger): RedisConnection {
  const connection = connect(config, purpose);
  watchConnection(connection, describeRedis(config), log);
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

function connect(config: RedisConfig, purpose: RedisPurpose): RedisConnection {
  const options: Pick<RedisOptions, SharedOption> = {
    ...behaviour(purpose),
    ...(config.username === undefined ? {} : { username: config.username }),
    ...(config.password === undefined ? {} : { password: config.password }),
    ...(config.tls === undefined ? {} : { tls: readTls(config.tls) }),
  };
  if (config.cluster) {
    return new Cluster([...config.cluster], {
      redisOptions: options,
      enableOfflineQueue: purpose !== "producer",
      clusterRetryStrategy: retryDelayMs,
    });
  }
  if (config.sentinels) {
    return new Redis({
      ...options,
      retryStrategy: retryDelayMs,
      enableOfflineQueue: purpose !== "producer",
      sentinels: config.sentinels,
      name: config.name ?? "mymaster",
      ...(config.tls === undefined
        ? {}
        : { enableTLSForSentinelMode: true, sentinelTLS: readTls(config.tls) }),
    });
  }
  const standalone: Options = {
    ...fromUrl(config.url ?? "redis://127.0.0.1:6379/0"),
    ...options,
    retryStrategy: retryDelayMs,
    enableOfflineQueue: purpose !== "producer",
  };
  return new Redis(standalone);
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
    keepAlive: 10_000,
    // ioredis handles no failure of a subscription that it repeats: closed meanwhile, the process would end. Who
    // subscribes does so at each `ready`.
    autoResubscribe: false,
    // After a failover the old master answers READONLY until it stops: reconnect to find the new one, and send again.
    reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
  };
  switch (purpose) {
    case "producer":
      return { ...common, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 };
    case "worker":
      return { ...common, maxRetriesPerRequest: null };
    case "plain":
      return { ...common, maxRetriesPerRequest: null, commandTimeout: plainTimeoutMs };
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
