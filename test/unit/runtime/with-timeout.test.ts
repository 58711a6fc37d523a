import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test } from "node:test";
import { settlesWithin, TimeoutError, withTimeout } from "../../../shared/runtime/with-timeout.ts";

const never = new Promise<never>(() => {});

test("work that ends in time returns its value or its error", async () => {
  assert.equal(await withTimeout(Promise.resolve(1), 60_000), 1);
  await assert.rejects(withTimeout(Promise.reject(new Error("refused")), 60_000), /refused/);
});

test("work that takes longer ends in the given error", async () => {
  await assert.rejects(withTimeout(never, 1), TimeoutError);
  await assert.rejects(
    withTimeout(never, 1, () => new Error("Redis did not answer")),
    /Redis did not answer/,
  );
});

test("an end with an error is an end", async () => {
  assert.equal(await settlesWithin(Promise.reject(new Error("closed")), 60_000), true);
  assert.equal(await settlesWithin(never, 1), false);
});

test("an answer counts that arrived in time while this process was too busy to read it", async (t) => {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  const [peer] = (await once(server, "connection")) as [net.Socket];
  t.after(() => {
    client.destroy();
    peer.destroy();
    server.close();
  });
  for (const bounded of [
    async () => assert.equal(String((await withTimeout(once(client, "data"), 20))[0]), "250 ok"),
    async () => assert.ok(await settlesWithin(once(client, "data"), 20)),
  ]) {
    const ends = bounded();
    peer.write("250 ok");
    const busyUntilMs = performance.now() + 50;
    while (performance.now() < busyUntilMs);
    await ends;
  }
});

test("no timer is left behind", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  await withTimeout(Promise.resolve(), 60_000);
  await settlesWithin(Promise.resolve(), 60_000);
  assert.equal(timers(), before);
});
