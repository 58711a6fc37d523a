/**
 * A connection to the primary of one hash slot of a Redis Cluster, which behaves as a connection to a single server: it is
 * ready when that primary answers, and closed when that primary is gone or another has taken over. The cluster client of
 * ioredis speaks of itself as ready while any server is left. The caller closes it.
 */
import { Cluster, Command, type Redis } from "ioredis";
import { closedMessage, dropExpired, isSettled } from "./redis-commands.ts";
import { endWhenSilent, greetingMs, SilentServer } from "./redis-heartbeat.ts";
import { withTimeout } from "./with-timeout.ts";

export interface SlotOptions {
  /** Any key of the slot. */
  key: string;
  /** A command fails after so long, wherever it is on its way. Absent: commands wait for ever, and are sent again. */
  deadlineMs?: number;
}

export type ClusterOptions = NonNullable<ConstructorParameters<typeof Cluster>[1]>;

interface Node {
  host: string;
  port: number;
}

/** Private to ioredis 6.0.0. */
interface Inside {
  startupNodes: Node[];
  manuallyClosing: boolean;
  connectionPool: { getInstanceByKey(key: string): Redis | undefined };
  setStatus(status: Cluster["status"]): void;
  readyCheck(callback: (error?: Error | null) => void): void;
}

const sendAgainMs = 100;

export function openCluster(
  nodes: readonly Node[],
  options: ClusterOptions,
  slotOptions: SlotOptions,
): Cluster {
  const cluster = new Cluster([...nodes], {
    ...options,
    // The deadline ends it.
    maxRedirections: Number.POSITIVE_INFINITY,
    retryDelayOnMoved: 10,
    // A command without an answer may have run: see sendWithin().
    retryDelayOnFailover: 0,
  });
  const inside = cluster as unknown as Inside;
  const slot = new Command("get", [slotOptions.key]).getSlot() ?? 0;
  const primary = (): string | undefined => cluster.slots[slot]?.[0];
  let readyWith: string | undefined;
  let lastError: Error | undefined;

  const leave = (reason: Error): void => {
    readyWith = undefined;
    cluster.disconnect(true);
    if (cluster.listenerCount("error") > 0) cluster.emit("error", reason);
  };

  cluster.on("ready", () => {
    readyWith = primary();
    lastError = undefined;
  });
  cluster.on("+node", (node: Redis) => {
    endWhenSilent(node);
    dropExpired(node);
  });
  cluster.on("node error", (error: Error, key: string) => {
    if (key === primary()) lastError = error;
  });
  cluster.on("-node", (node: Redis) => {
    const { host, port } = node.options;
    if (cluster.status === "ready" && `${host}:${port}` === readyWith)
      leave(lastError ?? new Error(closedMessage));
  });
  cluster.on("refresh", () => {
    // The servers of now, for the time when those of the configuration are gone.
    for (const key of new Set(cluster.slots.map(([first]) => first ?? ""))) {
      const [host, port] = [key.slice(0, key.lastIndexOf(":")), Number(key.split(":").at(-1))];
      const isKnown = inside.startupNodes.some((each) => each.host === host && each.port === port);
      if (host !== "" && !isKnown) inside.startupNodes.push({ host, port });
    }
    // It may lack the last writes of the one before, as every server that has taken over.
    if (cluster.status === "ready" && primary() !== readyWith)
      leave(new Error(`${primary()} has taken over from ${readyWith}`));
  });
  const setStatus = inside.setStatus.bind(cluster);
  Object.assign(cluster, {
    readyCheck(callback: (error?: Error | null) => void) {
      const node = inside.connectionPool.getInstanceByKey(primary() ?? "");
      if (node === undefined) return callback(new Error("no server has the slot"));
      const answered = withTimeout(
        node.exists(slotOptions.key),
        greetingMs,
        () => new SilentServer(greetingMs),
      );
      answered.then(
        () => callback(),
        (error: Error) => {
          callback(error);
          if (!inside.manuallyClosing && cluster.listenerCount("error") > 0) cluster.emit("error", error);
        },
      );
    },
    setStatus(status: Cluster["status"]) {
      // ioredis says so once more for each further node whose connection has ended.
      if (status === "close" && (cluster.status === "end" || cluster.status === "reconnecting")) return;
      setStatus(status);
    },
    sendCommand: sendWithin(cluster, slotOptions.deadlineMs),
    duplicate: (others: Node[] = [], more: ClusterOptions = {}) =>
      openCluster(others.length > 0 ? others : inside.startupNodes, { ...options, ...more }, slotOptions),
  });
  return cluster;
}

/** With a deadline, no command is sent again whose answer is missing. Without one, it is sent until there is an answer. */
function sendWithin(cluster: Cluster, deadlineMs: number | undefined): Cluster["sendCommand"] {
  const send = cluster.sendCommand.bind(cluster);
  const known = new WeakSet<Command>();
  const sendCommand: Cluster["sendCommand"] = (command, stream, node) => {
    if (isSettled(command) && stream === undefined) return command.promise;
    if (deadlineMs !== undefined) command.setTimeout(deadlineMs);
    const promise = send(command, stream, node);
    if (known.has(command)) return promise;
    known.add(command);
    const { reject } = command;
    command.reject = (error: Error) => {
      if (isSettled(command)) return;
      const isOver = cluster.status === "end" || (cluster as unknown as Inside).manuallyClosing;
      const mayRepeat = deadlineMs === undefined && stream === undefined && node === undefined && !isOver;
      if (mayRepeat && error.message === closedMessage) setTimeout(() => sendCommand(command), sendAgainMs);
      else reject(error);
    };
    return promise;
  };
  return sendCommand;
}
