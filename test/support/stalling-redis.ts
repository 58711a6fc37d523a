/**
 * A TCP proxy in front of a test's Redis that stops passing replies on, so that commands stay in flight. Owns its server and
 * connections; the test closes it.
 */
import net from "node:net";
import type { TestRedis } from "./redis.ts";

export interface StallingRedis {
  /** `redis://127.0.0.1:port/0`. */
  readonly url: string;
  readonly openConnections: number;
  /** Chunks of replies that were kept back. */
  readonly keptBack: number;
  /** From now on each connection gets so many chunks of replies, and then none. Open connections get none. */
  stallAfter(chunks: number): void;
  /** From now on a connection that sends this command gets no further reply. */
  stallAt(command: string): void;
  /** Passes everything on again, for connections that are opened from now on. */
  reset(): void;
  /** Resets every open connection; clients may connect again. */
  cutConnections(): void;
  close(): Promise<void>;
}

export async function startStallingRedis(redis: TestRedis): Promise<StallingRedis> {
  const clients = new Set<net.Socket>();
  let limit = Number.POSITIVE_INFINITY;
  let command: string | undefined;
  let keptBack = 0;

  const server = net.createServer((client) => {
    clients.add(client);
    const upstream = net.connect(connectOptions(redis.url));
    let left = limit;
    client.on("data", (chunk) => {
      if (command !== undefined && chunk.toString("latin1").toLowerCase().includes(`\r\n${command}\r\n`))
        left = 0;
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      if (limit === 0 || left === 0) {
        keptBack++;
        return;
      }
      left--;
      client.write(chunk);
    });
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.on("close", () => {
      clients.delete(client);
      upstream.destroy();
    });
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;

  return {
    url: `redis://127.0.0.1:${port}/0`,
    get openConnections() {
      return clients.size;
    },
    get keptBack() {
      return keptBack;
    },
    stallAfter(chunks) {
      limit = chunks;
    },
    stallAt(name) {
      command = name.toLowerCase();
    },
    reset() {
      limit = Number.POSITIVE_INFINITY;
      command = undefined;
    },
    cutConnections() {
      for (const client of clients) client.resetAndDestroy();
    },
    async close() {
      for (const client of clients) client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function connectOptions(url: string): net.NetConnectOpts {
  const { protocol, pathname, hostname, port } = new URL(url);
  return protocol === "unix:" ? { path: pathname } : { host: hostname, port: Number(port) };
}
