/** Two listening sockets on one port, of which one is closed. */
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { acceptQueuedConnections } from "../../../../services/ingress/listener/queued-connections.ts";

const skip = process.platform === "linux" ? false : "several sockets on one port are a matter of Linux";

/** A server that greets, as another process on the same port would. */
async function greet(t: TestContext, port: number, words: string): Promise<net.Server> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.end(words);
  });
  server.listen({ host: "127.0.0.1", port, reusePort: true });
  t.after(() => server.listening && server.close());
  await once(server, "listening");
  return server;
}

/** The kernel ends the handshakes before any server of this process accepts. @returns what each receives to its end */
async function connect(port: number, clients: number): Promise<{ answers: Promise<string[]> }> {
  const answers = Promise.all(Array.from({ length: clients }, () => answerOf(port)));
  await new Promise<void>((resolve) => process.nextTick(resolve));
  return { answers };
}

function answerOf(port: number): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    net
      .connect({ port, host: "127.0.0.1" })
      .on("data", (data) => {
        received += data.toString();
      })
      .on("error", (error) => {
        received += error.message;
      })
      .on("close", () => resolve(received));
  });
}

test("a socket that is closed resets none of the connections that are queued for it", { skip }, async (t) => {
  const leaving = await greet(t, 0, "leaving");
  const { port } = leaving.address() as net.AddressInfo;
  await greet(t, port, "staying");
  const early = await connect(port, 60);
  await acceptQueuedConnections(leaving);
  // After the last accept, and before the close.
  const late = await connect(port, 20);
  leaving.close();
  const answers = new Set(await early.answers);
  assert.deepEqual([...answers].sort(), ["leaving", "staying"], "both have some, and none is reset");
  assert.deepEqual(
    [...new Set(await late.answers)],
    ["staying"],
    "those come to the other when they begin again",
  );
});
