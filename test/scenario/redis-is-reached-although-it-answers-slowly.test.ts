/** Each server answers later than a connection waits for it at first: a machine short of CPU, or a host far away. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis, type RedisConfig } from "../../shared/runtime/redis.ts";
import { unlessInstalled } from "../support/programs.ts";
import { createRedisProcesses } from "../support/redis-servers.ts";
import { startSlowProxy } from "../support/slow-proxy.ts";
import { waitFor } from "../support/wait-for.ts";

const log = createLogger("test", { write() {} });

/** @returns the configuration that leads to a server behind a proxy */
const servers: Record<string, (t: TestContext) => Promise<RedisConfig>> = {
  async "a single server"(t) {
    const { processes, proxy } = startServers(t);
    const { port } = await processes.start([]);
    return { url: `redis://127.0.0.1:${await proxy(port, 3_200)}/0` };
  },
  async "a server behind a sentinel"(t) {
    const { processes, proxy } = startServers(t);
    const { port } = await processes.start([]);
    const lines = [`sentinel monitor mail 127.0.0.1 ${port} 1`];
    const sentinel = await processes.start(lines, { sentinel: true });
    return { sentinels: [{ host: "127.0.0.1", port: await proxy(sentinel.port, 1_100) }], name: "mail" };
  },
  async "a cluster"(t) {
    const { processes, proxy } = startServers(t);
    const port = await processes.freePort();
    const slowPort = await proxy(port, 1_100);
    const lines = [
      "cluster-enabled yes",
      "cluster-announce-ip 127.0.0.1",
      `cluster-announce-port ${slowPort}`,
    ];
    const server = await processes.start(lines, { port });
    await server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    return { cluster: [{ host: "127.0.0.1", port: slowPort }] };
  },
};

function startServers(t: TestContext) {
  const processes = createRedisProcesses();
  t.after(() => processes.close());
  const proxy = async (port: number, delayMs: number): Promise<number> => {
    const started = await startSlowProxy(port, delayMs);
    t.after(() => started.close());
    return started.port;
  };
  return { processes, proxy };
}

test("a failover that sentinels announce during the search for the primary does not end the connection for good", {
  skip: unlessInstalled("redis-server"),
}, async (t) => {
  const { processes, proxy } = startServers(t);
  const server = await processes.start([]);
  const lines = [`sentinel monitor mail 127.0.0.1 ${server.port} 1`];
  const sentinel = await processes.start(lines, { sentinel: true });
  const sentinels = [{ host: "127.0.0.1", port: await proxy(sentinel.port, 200) }];
  const redis = createRedis({ sentinels, name: "mail" }, "worker", log);
  t.after(() => redis.disconnect());
  const detector = () =>
    (redis as unknown as { connector: { failoverDetector: { disconnect(): void } | null } }).connector
      .failoverDetector;
  await waitFor("the connection to be ready", () => redis.status === "ready");
  const announced = await waitFor("its failover detector", detector);
  await server.command("CLIENT", "KILL", "TYPE", "normal");
  await waitFor("the search to begin", () => redis.status === "connecting");
  // What ioredis does at `+switch-master`, unless the detector was cleaned up.
  if (!(announced as unknown as { isDisconnected: boolean }).isDisconnected) announced.disconnect();
  await waitFor("the connection to be ready again", () => redis.status === "ready");
});

suite("a connection waits longer after each attempt that was too short for", {
  concurrency: true,
  skip: unlessInstalled("redis-server"),
}, () => {
  for (const [what, start] of Object.entries(servers)) {
    test(what, async (t) => {
      const redis = createRedis(await start(t), "worker", log);
      t.after(() => redis.disconnect());
      await waitFor("the connection to be ready", () => redis.status === "ready");
      assert.equal(await redis.set("{postern}:reached", "yes"), "OK");
    });
  }
});
