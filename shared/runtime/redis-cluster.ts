/**
 * Connects to the primary of one hash slot of a Redis Cluster: all keys of a queue are in one slot. To the rest it is a
 * connection to a single server, which is closed when that server is gone or no longer has the slot. The cluster client of
 * ioredis speaks of itself as ready while any server is left. Owns the connections with which it asks; ends them when the
 * server has answered.
 */
import net from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import tls from "node:tls";
import { AbstractConnector, Redis, type RedisOptions } from "ioredis";
import type { Patience } from "./patience.ts";
import { closedMessage } from "./redis-commands.ts";
import { greetingMs, SilentServer } from "./redis-heartbeat.ts";
import { ignoreLateErrors } from "./redis-late-errors.ts";
import { findPrimary, nameOf, type Server } from "./redis-slot-primary.ts";
import { withTimeout } from "./with-timeout.ts";

export interface SlotOptions {
  /** Some servers of the cluster. */
  servers: readonly Server[];
  /** Any key of the slot. */
  key: string;
  patience: Patience;
  /** How long to wait before the search begins anew. @param times  1, 2, … */
  retryDelayMs(times: number): number;
}

type Login = Pick<RedisOptions, "username" | "password" | "tls" | "disconnectTimeout">;
type Connect = AbstractConnector["connect"];

/** A server that has not answered after so long is not waited for alone: the next one is asked as well. */
const nextAfterMs = 1_000;
/** Words of a server that does not have the slot, or not now. The command has not run. */
const elsewhere = /^(?:MOVED|ASK|CLUSTERDOWN|TRYAGAIN) /;

/** Whether an answer to a command says that the slot is to be looked for again. */
export function isElsewhere(error: Error): boolean {
  return elsewhere.test(error.message);
}

/** @returns what ioredis makes its connector of */
export function slotConnector(options: SlotOptions): new (redisOptions: unknown) => AbstractConnector {
  return class extends SlotConnector {
    constructor(redisOptions: unknown) {
      super(redisOptions as RedisOptions, options);
    }
  };
}

class SlotConnector extends AbstractConnector {
  readonly #login: Login;
  readonly #options: SlotOptions;
  /** The servers of now, for the time when those of the configuration are gone. */
  #known: Server[] = [];
  #primary: Server | undefined;
  #wasTooSlow = false;
  #closing = new AbortController();

  constructor({ username, password, tls, disconnectTimeout = 0 }: RedisOptions, options: SlotOptions) {
    super(disconnectTimeout);
    this.#login = { username, password, tls, disconnectTimeout };
    this.#options = options;
  }

  override check(info: { role?: string }): boolean {
    return info.role === undefined || info.role === "master";
  }

  override disconnect(): void {
    this.#closing.abort();
    super.disconnect();
  }

  /** Goes on until there is a primary, or disconnect(). */
  override async connect(emit: Parameters<Connect>[0]): ReturnType<Connect> {
    const { patience, retryDelayMs } = this.#options;
    this.#closing = new AbortController();
    const { signal } = this.#closing;
    for (let times = 1; ; times++) {
      try {
        return this.#open(await this.#findPrimary(signal));
      } catch (error) {
        if (signal.aborted) throw new Error(closedMessage);
        if (this.#wasTooSlow) patience.exceeded();
        this.#wasTooSlow = false;
        emit("error", error as Error);
      }
      await delay(retryDelayMs(times), undefined, { signal }).catch(() => {});
      if (signal.aborted) throw new Error(closedMessage);
    }
  }

  async #findPrimary(closing: AbortSignal): Promise<Server> {
    const found = new AbortController();
    const signal = AbortSignal.any([closing, found.signal]);
    const afterMs = this.#options.patience.of(nextAfterMs);
    try {
      return await findPrimary(this.#servers(), (server) => this.#ask(server, signal), {
        nextAfterMs: afterMs,
        signal,
      });
    } finally {
      found.abort();
    }
  }

  /** The primary of before last, for it is the one that is most likely gone. Where to begin is random. */
  #servers(): Server[] {
    const byName = new Map([...this.#options.servers, ...this.#known].map((each) => [nameOf(each), each]));
    const servers = [...byName.values()];
    servers.push(...servers.splice(0, Math.floor(Math.random() * servers.length)));
    const last = this.#primary;
    return last === undefined ? servers : [...servers.filter((each) => nameOf(each) !== nameOf(last)), last];
  }

  #open(primary: Server): ReturnType<typeof net.connect> {
    this.#primary = primary;
    this.stream =
      this.#login.tls === undefined ? net.connect(primary) : tls.connect({ ...primary, ...this.#login.tls });
    this.stream.once("error", (error) => {
      this.firstError = error;
    });
    return this.stream;
  }

  /** @throws Error of the connection, or SilentServer */
  async #ask(server: Server, signal: AbortSignal): Promise<Server> {
    const limitMs = this.#options.patience.of(greetingMs);
    const redis = new Redis({
      ...this.#login,
      ...server,
      connectTimeout: limitMs,
      enableReadyCheck: false,
      lazyConnect: true,
      maxRetriesPerRequest: null,
      retryStrategy: () => null,
    });
    ignoreLateErrors(redis);
    let connectionError: Error | undefined;
    redis.on("error", (error) => {
      connectionError = error;
    });
    const end = (): void => redis.disconnect();
    signal.addEventListener("abort", end);
    const isOwn = () => server;
    const answers = Promise.all([
      redis.exists(this.#options.key).then(isOwn, (error: Error) => movedTo(error, server)),
      redis.cluster("SLOTS"),
    ]);
    try {
      const [primary, ranges] = await withTimeout(answers, limitMs, () => new SilentServer(limitMs));
      this.#known = serversOf(ranges, server);
      return primary;
    } catch (error) {
      if (error instanceof SilentServer || isTimeout(connectionError)) this.#wasTooSlow = true;
      throw connectionError ?? error;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  }
}

export function isTimeout(error: Error | undefined): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === "ETIMEDOUT";
}

/** @param asked  the server itself is meant when it names none. @throws `error` if it is something else */
function movedTo(error: Error, asked: Server): Server {
  const [, host, port] = /^MOVED \d+ ([^ ?]*):(\d+)$/.exec(error.message) ?? [];
  if (port === undefined) throw error;
  return { host: host || asked.host, port: Number(port) };
}

/** @param ranges  of CLUSTER SLOTS: first slot, last slot, then the servers: `[host, port, …]` */
function serversOf(ranges: unknown, asked: Server): Server[] {
  const servers = new Map<string, Server>();
  for (const range of ranges as unknown[][]) {
    for (const [host, port] of range.slice(2) as [string | null, number][]) {
      const server = { host: host || asked.host, port: Number(port) };
      if (server.host !== "?") servers.set(nameOf(server), server);
    }
  }
  return [...servers.values()];
}
