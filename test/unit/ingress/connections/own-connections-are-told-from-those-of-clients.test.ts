import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import {
  connectForClient,
  connectToServer,
} from "../../../../services/ingress/connections/connect-to-server.ts";
import { createLocalOwnConnections } from "../../../../shared/limits/own-connections.ts";

for (const [what, hide, kind] of [
  ["a connection of the gateway that comes back is not opened again", false, "loop"],
  ["with hide a client may choose the port that the gateway has chosen in its name", true, "connected"],
] as const) {
  test(what, async (t) => {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const destination = { address: "127.0.0.1", port: (server.address() as net.AddressInfo).port };
    const sockets: net.Socket[] = [];
    server.on("connection", (socket) => sockets.push(socket));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const ownConnections = createLocalOwnConnections();
    const connect = async (port: number) => {
      const connected = await connectForClient(
        new net.Socket(),
        {
          id: "test",
          listener: "test",
          client: { address: "127.0.0.1", port },
          destination,
          direction: "outgoing",
        },
        {
          // Without the privileges that a hidden connection needs.
          connectToServer: (to, { timeoutMs }) => connectToServer(to, { timeoutMs }),
          timeoutMs: 5000,
          hide,
          ownConnections,
          isStopping: () => false,
        },
      );
      if (connected.kind === "connected") sockets.push(connected.socket);
      return connected;
    };
    const first = await connect(1);
    assert.ok(first.kind === "connected");
    assert.equal((await connect(first.socket.localPort ?? 0)).kind, kind);
  });
}
