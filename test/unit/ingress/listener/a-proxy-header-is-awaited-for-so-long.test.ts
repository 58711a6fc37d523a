import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import {
  type LearnedConnection,
  readHeader,
} from "../../../../services/ingress/listener/original-destination.ts";
import { Network } from "../../../../shared/net/network.ts";

/** What is learned of one connection, with its client's end. */
async function learn(
  t: { after(end: () => void): void },
  talk: (client: net.Socket) => void,
): Promise<LearnedConnection> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  const socket = await new Promise<net.Socket>((resolve) => server.once("connection", resolve));
  socket.on("error", () => {});
  t.after(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  const learned = new Promise<LearnedConnection>((resolve) => {
    readHeader(socket, [Network.parse("127.0.0.1")], 100, resolve);
  });
  talk(client);
  return learned;
}

test("a proxy that does not finish its header within the deadline is refused", async (t) => {
  const learned = await learn(t, (client) => client.write("PROXY TCP4 "));
  assert.deepEqual(learned, { kind: "refused", cause: "header-timeout", reason: "no header in 0.1 s" });
});

test("a proxy that closes before its header is whole is refused at once", async (t) => {
  const ended = await learn(t, (client) => client.end("PROXY TCP4 "));
  assert.deepEqual([ended.kind, "cause" in ended && ended.cause], ["refused", "closed-early"]);
  const reset = await learn(t, (client) => client.resetAndDestroy());
  assert.deepEqual([reset.kind, "cause" in reset && reset.cause], ["refused", "closed-early"]);
});
