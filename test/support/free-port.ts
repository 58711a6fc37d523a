/** A port of 127.0.0.1 that is free at this moment. */
import net from "node:net";

/** @param wanted  rejects when it is taken; absent: any port */
export async function freePort(wanted = 0): Promise<number> {
  const server = net.createServer().listen(wanted, "127.0.0.1");
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", reject);
  });
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
