/** Redis as it runs on many hosts: two servers with three sentinels, or a cluster of three primaries with a replica each. */
import type { RedisConfig } from "../../shared/runtime/redis.ts";
import { createRedisProcesses, type RedisProcess } from "./redis-servers.ts";
import { waitFor } from "./wait-for.ts";

export interface RedisGroup {
  readonly config: RedisConfig;
  /** The same as it stands in a configuration file. */
  readonly setting: { sentinels: string[]; name: string } | { cluster: string[] };
  /** All that hold data. */
  readonly servers: RedisProcess[];
  /** The one that has the key's slot now, as the others see it. */
  primary(key?: string): Promise<RedisProcess>;
  /** Waits until the next failover can succeed: all agree on who leads, and each replica has its primary's data. */
  isWhole(): Promise<void>;
  /** What each server says of the others, and the end of its log: for the message of a failed test. */
  describe(): Promise<string>;
  close(): Promise<void>;
}

/** Servers that share a slow machine need long to agree. */
const patientMs = 180_000;

const storage = [
  "appendonly yes",
  "appendfsync everysec",
  'save ""',
  "maxmemory-policy noeviction",
  "repl-diskless-sync-delay 0",
];

/** @param downAfterMs  how long a server may be silent before the sentinels replace it */
export async function startSentinelGroup(downAfterMs: number): Promise<RedisGroup> {
  const processes = createRedisProcesses();
  const first = await processes.start(storage);
  const second = await processes.start([...storage, `replicaof 127.0.0.1 ${first.port}`]);
  const servers = [first, second];
  const sentinels = await Promise.all(
    [1, 2, 3].map(() =>
      processes.start(
        [
          "sentinel announce-ip 127.0.0.1",
          `sentinel monitor mail 127.0.0.1 ${first.port} 2`,
          `sentinel down-after-milliseconds mail ${downAfterMs}`,
          "sentinel failover-timeout mail 3000",
        ],
        { sentinel: true },
      ),
    ),
  );
  await waitFor("the sentinels to know each other and the replica", async () => {
    const infos = await Promise.all(sentinels.map((each) => each.command("INFO", "sentinel")));
    return infos.every((info) => /status=ok,.*slaves=1,sentinels=3/.test(info));
  });
  const isWhole = async (): Promise<boolean> => {
    for (const sentinel of sentinels) {
      const replicas = await sentinel.command("SENTINEL", "REPLICAS", "mail");
      if (!/flags\r\n\$5\r\nslave\r\n[\s\S]*master-link-status\r\n\$2\r\nok\r\n/.test(replicas)) return false;
      if (!/status=ok,/.test(await sentinel.command("INFO", "sentinel"))) return false;
    }
    return (await replicasInSync(servers)) === 1;
  };
  return {
    config: { sentinels: sentinels.map(({ port }) => ({ host: "127.0.0.1", port })), name: "mail" },
    setting: { sentinels: sentinels.map(({ port }) => `127.0.0.1:${port}`), name: "mail" },
    servers,
    async primary() {
      const reply = await sentinels[0]?.command("SENTINEL", "get-master-addr-by-name", "mail");
      return known(servers, Number(/\r\n(\d+)\r\n/.exec(reply ?? "")?.[1]));
    },
    isWhole: async () => {
      await waitFor("the sentinels to see a replica that follows", isWhole, patientMs);
    },
    async describe() {
      const descriptions = [
        ...sentinels.map((each) => describeServer(each, ["INFO", "sentinel"])),
        ...servers.map((each) => describeServer(each, ["INFO", "replication"])),
      ];
      return (await Promise.all(descriptions)).join("\n");
    },
    close: () => processes.close(),
  };
}

/** @param nodeTimeoutMs  how long a server may be silent before its replica replaces it */
export async function startClusterGroup(nodeTimeoutMs: number): Promise<RedisGroup> {
  const processes = createRedisProcesses();
  const lines = [
    ...storage,
    "cluster-enabled yes",
    `cluster-node-timeout ${nodeTimeoutMs}`,
    // On a slow machine some elections fail, and after a while the only replica would be out of date for Redis.
    "cluster-replica-validity-factor 0",
    "cluster-announce-ip 127.0.0.1",
  ];
  const servers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => processes.start(lines)));
  const [first, ...others] = servers;
  if (first === undefined) throw new Error("no server");
  const primaries = servers.slice(0, 3);
  for (const [index, server] of primaries.entries()) {
    const [from, to] = [Math.ceil((index * 16384) / 3), Math.ceil(((index + 1) * 16384) / 3) - 1];
    await server.command("CLUSTER", "ADDSLOTSRANGE", String(from), String(to));
    await server.command("CLUSTER", "SET-CONFIG-EPOCH", String(index + 1));
  }
  for (const other of others) await other.command("CLUSTER", "MEET", "127.0.0.1", String(first.port));
  for (const [index, replica] of servers.slice(3).entries()) {
    const id = /[0-9a-f]{40}/.exec((await primaries[index]?.command("CLUSTER", "MYID")) ?? "")?.[0] ?? "";
    await waitFor("the replica to follow its primary", async () =>
      (await replica.command("CLUSTER", "REPLICATE", id)).startsWith("+OK"),
    );
  }
  const isWhole = async (): Promise<boolean> => {
    for (const server of servers) {
      const info = await server.command("CLUSTER", "INFO");
      if (!/cluster_state:ok[\s\S]*cluster_known_nodes:6[\s\S]*cluster_size:3/.test(info)) return false;
      // Who takes over is elected by primaries that know the replica as one of the primary that failed.
      const nodes = (await server.command("CLUSTER", "NODES"))
        .split("\n")
        .filter((line) => line.includes("@"));
      const followed = nodes.map((line) => line.split(" ")[3] ?? "").filter((id) => id.length === 40);
      if (nodes.some((line) => /fail|handshake|noaddr/.test(line)) || new Set(followed).size < 3)
        return false;
    }
    return (await replicasInSync(servers)) === 3;
  };
  await waitFor("the cluster to be complete", isWhole, patientMs);
  return {
    config: { cluster: servers.map(({ port }) => ({ host: "127.0.0.1", port })) },
    setting: { cluster: servers.map(({ port }) => `127.0.0.1:${port}`) },
    servers,
    async primary(key = "{postern}") {
      return waitFor("a server that knows the primary", async () => {
        for (const server of servers) {
          const slot = Number(/:(\d+)/.exec(await server.command("CLUSTER", "KEYSLOT", key))?.[1]);
          for (const line of (await server.command("CLUSTER", "NODES")).split("\n")) {
            const [, address = "", flags = "", , , , , , ...ranges] = line.trim().split(" ");
            if (!flags.includes("master") || flags.includes("fail")) continue;
            const has = ranges.some((range) => {
              const [from = "", to = from] = range.split("-");
              return slot >= Number(from) && slot <= Number(to);
            });
            if (has) return known(servers, Number(/:(\d+)@/.exec(address)?.[1]));
          }
        }
        return undefined;
      });
    },
    isWhole: async () => {
      await waitFor(
        "all servers of the cluster to know each other, and the replicas to follow",
        isWhole,
        patientMs,
      );
    },
    async describe() {
      return (await Promise.all(servers.map((each) => describeServer(each, ["CLUSTER", "NODES"])))).join(
        "\n",
      );
    },
    close: () => processes.close(),
  };
}

async function replicasInSync(servers: RedisProcess[]): Promise<number> {
  const infos = await Promise.all(servers.map((server) => server.command("INFO", "replication")));
  return infos.filter((info) => /role:slave[\s\S]*master_link_status:up/.test(info)).length;
}

async function describeServer(server: RedisProcess, question: string[]): Promise<string> {
  const answer = (await server.command(...question)) || "no answer";
  return [`--- server at port ${server.port}`, answer.trim(), ...server.lastLines()].join("\n");
}

function known(servers: RedisProcess[], port: number): RedisProcess {
  const server = servers.find((each) => each.port === port);
  if (server === undefined) throw new Error(`no server of this group has port ${port}`);
  return server;
}
