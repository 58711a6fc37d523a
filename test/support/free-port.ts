/** A port of 127.0.0.1 that is free, and that no test gets again until this process ends. */
import dgram from "node:dgram";
import net from "node:net";

/** Below those of outgoing connections and of servers that ask for any port, which would take one of ours meanwhile. */
const [lowest, count] = [10_000, 10_000];

/** @param wanted  rejects when it is taken; absent: any port */
export async function freePort(wanted?: number): Promise<number> {
  if (wanted !== undefined) return claim(wanted);
  for (let attempt = 1; ; attempt++) {
    const port = lowest + Math.floor(Math.random() * count);
    try {
      return await claim(port);
    } catch (error) {
      if (attempt === 100) throw error;
    }
  }
}

/** The claim is a UDP socket, whose port of that number is another one: tests in other processes see it until this one ends. */
async function claim(port: number): Promise<number> {
  const claimed = dgram.createSocket("udp4").unref();
  try {
    await new Promise<void>((resolve, reject) => {
      claimed.once("error", reject);
      claimed.bind({ port, address: "127.0.0.1", exclusive: true }, resolve);
    });
    const server = net.createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    await new Promise((resolve) => server.close(resolve));
    return port;
  } catch (error) {
    claimed.close();
    throw error;
  }
}
