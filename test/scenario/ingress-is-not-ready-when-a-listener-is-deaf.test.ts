import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type net from "node:net";
import { test } from "node:test";
import { startTestIngress } from "../support/ingress.ts";

test("a listener that cannot accept, or does not listen any more, is named", async (t) => {
  const servers: net.Server[] = [];
  const channel = "tracing:net.server.listen:asyncEnd";
  const noteServer = (message: unknown): void =>
    void servers.push((message as { server: net.Server }).server);
  subscribe(channel, noteServer);
  const ingress = await startTestIngress({
    listeners: [{ name: "in", address: "127.0.0.1", port: 0, destination: "self" }],
  });
  t.after(() => ingress.close(0));
  unsubscribe(channel, noteServer);
  const server = servers.find(
    (each) => (each.address() as net.AddressInfo | null)?.port === ingress.port("in"),
  );
  assert.ok(server);
  assert.deepEqual(await ingress.health(), { ready: true, reasons: [] });
  server.emit("error", Object.assign(new Error("accept ENFILE"), { code: "ENFILE" }));
  assert.deepEqual(await ingress.health(), {
    ready: false,
    reasons: ["listener in cannot accept connections"],
  });
  server.close();
  assert.deepEqual(await ingress.health(), { ready: false, reasons: ["listener in does not listen"] });
});
