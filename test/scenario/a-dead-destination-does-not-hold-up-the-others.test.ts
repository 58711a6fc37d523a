import assert from "node:assert/strict";
import net from "node:net";
import { type TestContext, test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

/** A server that accepts connections and never sends anything: what a time-out looks like on loopback. */
async function startMute(): Promise<{ port: number; readonly connections: number; close(): Promise<void> }> {
  const sockets = new Set<net.Socket>();
  let connections = 0;
  const server = net.createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.3", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    get connections() {
      return connections;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const messages = 250;

test("a destination that does not answer costs a few probes, and does not hold up the mail for others", async (t) => {
  const healthy = await startSmtpPeer({ address: "127.0.0.2" });
  const dead = await startMute();
  t.after(async () => {
    await healthy.stop();
    await dead.close();
  });
  const flow = await createMailFlow(t, {
    relay: {
      routes: [
        { to: "*@dead.example", via: `127.0.0.3:${dead.port}` },
        { to: "*@healthy.example", via: `127.0.0.2:${healthy.port}` },
      ],
    },
    // One interval, and no second attempt, for as long as the test takes.
    queue: { retry: ["30m"] },
    limits: { dead_destination: "10m" },
    timeouts: { greeting: "3s" },
    delivery: { concurrency: 20 },
  });
  // The mail for the dead destination stands first in the queue.
  for (const domain of ["dead.example", "healthy.example"]) {
    for (let i = 0; i < messages; i++) await flow.accept({ to: [`user${i}@${domain}`] });
  }
  await Promise.all([flow.startDelivery(), flow.startDelivery()]);

  await waitFor("all mail for the healthy one arrives", () => healthy.received.length === messages);
  assert.ok(
    flow.events.every(({ event, to }) => event !== "delivery.delivered" || !String(to).includes("dead")),
  );
  const deferrals = () => flow.events.filter(({ event }) => event === "delivery.deferred");
  await waitFor("all mail for the dead one is deferred", () => deferrals().length === messages);
  // Until the first attempt has failed each of the two workers opens a few connections.
  assert.ok(dead.connections <= 10, `${dead.connections} probes`);
  const remembered = deferrals().filter((line) => line.remembered === true);
  assert.equal(remembered.length, messages - dead.connections, "the others rely on the cached failure");
  for (const line of deferrals()) {
    assert.equal(line.status, "4.4.2");
    assert.match(
      String(line.reason),
      /before its greeting: no reply to the connection \(no greeting\) within 3 s/,
    );
    assert.ok(line.nextAttemptAt !== undefined, "each goes by its own schedule");
  }
});

test("when the destination answers again, the next probe delivers, and all mail follows", async (t) => {
  const free = await startSmtpPeer({ address: "127.0.0.4" });
  const { port } = free;
  await free.stop();
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*", via: `127.0.0.4:${port}` }] },
    queue: { retry: ["400ms"] },
    limits: { dead_destination: "1s" },
  });
  for (let i = 0; i < 30; i++) await flow.accept({ to: [`user${i}@back.example`] });
  await flow.startDelivery();
  const deferrals = () => flow.events.filter(({ event }) => event === "delivery.deferred");
  await waitFor("they are deferred", () => deferrals().length >= 60);
  assert.ok(deferrals().some((line) => line.remembered === true));
  const back = await startSmtpPeer({ address: "127.0.0.4", port });
  t.after(() => back.stop());
  await waitFor("all mail arrives", () => back.received.length === 30);
});

test("a message does not expire on a cached failure: its last attempt is a real one", async (t) => {
  // The server has to be back before the first message expires: a slow machine needs more time for that.
  for (const expireSeconds of [3, 15, 60]) if (await arriveWithLastAttempts(t, expireSeconds)) return;
  assert.fail("the machine is too slow");
});

/** @returns false when the server was not back in time */
async function arriveWithLastAttempts(t: TestContext, expireSeconds: number): Promise<boolean> {
  const free = await startSmtpPeer({ address: "127.0.0.5" });
  const { port } = free;
  await free.stop();
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*", via: `127.0.0.5:${port}` }] },
    queue: { retry: ["2m"], expire: `${expireSeconds}s` },
    limits: { dead_destination: "10m" },
  });
  const acceptedMs = performance.now();
  await flow.accept({ to: ["first@dead.example"] });
  await flow.startDelivery();
  const deferrals = () => flow.events.filter(({ event }) => event === "delivery.deferred");
  await waitFor("the first finds out", () => deferrals().length >= 1);
  await flow.accept({ to: ["second@dead.example"] });
  const isLate = () => performance.now() - acceptedMs > (expireSeconds * 1000) / 2;
  await waitFor("the second relies on it", () => deferrals().length === 2 || isLate());
  if (isLate()) return false;
  assert.equal(deferrals()[1]?.remembered, true);
  // The gateway does not know that it is there.
  const back = await startSmtpPeer({ address: "127.0.0.5", port });
  t.after(() => back.stop());
  if (isLate()) return false;
  await waitFor("both arrive with their last attempts", () => back.received.length === 2, 120_000);
  return true;
}
