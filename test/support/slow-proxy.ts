/** A TCP proxy that passes each reply on late, as a server on a machine that is short of CPU answers. The test closes it. */
import net from "node:net";

export interface SlowProxy {
  readonly port: number;
  close(): Promise<void>;
}

export async function startSlowProxy(upstreamPort: number, delayMs: number): Promise<SlowProxy> {
  const clients = new Set<net.Socket>();
  const server = net.createServer((client) => {
    clients.add(client);
    const upstream = net.connect(upstreamPort, "127.0.0.1");
    client.pipe(upstream);
    upstream.on("data", (chunk) => setTimeout(() => client.write(chunk), delayMs));
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.on("close", () => {
      clients.delete(client);
      upstream.destroy();
    });
    upstream.on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    async close() {
      for (const client of clients) client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
