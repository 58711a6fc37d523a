/** Delivery processes that die in the middle of their work: everything arrives, and what was recorded is not tried again. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createMailFlow } from "../support/mail-flow.ts";
import { hang, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const program = fileURLToPath(new URL("../support/delivery-process.ts", import.meta.url));
const messages = 200;
const concurrency = 8;

function startProcess(t: TestContext, config: object): { kill(): Promise<void> } {
  const child = fork(program, [JSON.stringify(config)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const kill = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  t.after(kill);
  return { kill };
}

test("200 messages arrive although the workers are killed again and again, and only attempts under way are repeated", async (t) => {
  const remote = await startSmtpPeer({
    script: { message: () => new Promise((resolve) => setTimeout(resolve, 20, undefined)) },
  });
  t.after(() => remote.stop());
  const given = {
    queue: { retry: ["300ms"], delay_warning: 0 as const },
    delivery: { concurrency },
    limits: { destinations: [{ match: "*", connections: 100 }] },
    relay: { routes: [{ to: "*", via: `127.0.0.1:${remote.port}` }] },
  };
  const flow = await createMailFlow(t, given);
  const ids: string[] = [];
  for (let i = 0; i < messages; i++) {
    const { meta } = await flow.accept({ to: [`user${i}@example.com`] });
    ids.push(meta.id);
  }
  const config = { ...given, redis: { url: flow.redis.url }, data: flow.config.data };
  const kills = 3;
  for (let i = 1; i <= kills; i++) {
    const before = remote.received.length;
    const worker = startProcess(t, config);
    await waitFor("some deliveries", () => remote.received.length > before + messages / 8);
    await worker.kill();
  }
  startProcess(t, config);
  await waitFor(
    "every message to be settled",
    async () =>
      (await Promise.all(ids.map((id) => flow.kinds(id)))).every((kinds) => kinds.join() === "delivered"),
    60_000,
  );
  const arrived = new Map<string, number>();
  for (const { to } of remote.received) {
    const address = to[0]?.address ?? "";
    arrived.set(address, (arrived.get(address) ?? 0) + 1);
  }
  assert.equal(arrived.size, messages);
  const repeated = remote.received.length - messages;
  assert.ok(
    repeated <= kills * concurrency,
    `${repeated} were repeated, ${kills * concurrency} were under way`,
  );
});

test("the notification of a refusal that was recorded before a crash is sent after it, without another attempt", async (t) => {
  const remote = await startSmtpPeer({ script: { rcpt: () => "550 5.1.1 no such user" } });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    dsn: { wave: "200ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  const diagnosis = {
    status: "5.1.1" as const,
    class: "5xx" as const,
    reason: "no such user",
    atMs: Date.now(),
  };
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  // As it stands after a crash between the status log and the bounce queue.
  await flow.spool.settle([{ id: meta.id, recipients: [0], state: { kind: "failed", diagnosis } }]);
  await flow.startDelivery();
  await flow.startBounce();
  await waitFor("the notification", () => home.received.length === 1);
  assert.equal(remote.connections, 0);
  await waitFor("it to be settled", async () => (await flow.kinds(meta.id)).join() === "bounced");
});

test("a worker that is killed while it asks the next host about the other recipients does not deliver twice", async (t) => {
  const first = await startSmtpPeer({
    script: { rcpt: (address) => (address.startsWith("later") ? "450 4.2.1 greylisted" : undefined) },
  });
  const second = await startSmtpPeer({
    script: { connect: (connection) => (connection === 1 ? hang : undefined) },
  });
  t.after(() => Promise.all([first.stop(), second.stop()]));
  const given = {
    queue: { retry: ["300ms"], delay_warning: 0 as const },
    protected: [
      { domains: ["example.com"], servers: [first, second].map(({ port }) => `127.0.0.1:${port}`) },
    ],
  };
  const flow = await createMailFlow(t, given);
  const config = { ...given, redis: { url: flow.redis.url }, data: flow.config.data };
  const { meta } = await flow.accept({ to: ["now@example.com", "later@example.com"] });
  const worker = startProcess(t, config);
  await waitFor("the second host to be asked", () => second.connections === 1);
  await waitFor("the delivery to be settled", async () => (await flow.kinds(meta.id)).join() === "delivered");
  await worker.kill();
  startProcess(t, config);
  await waitFor(
    "the other recipient's delivery",
    async () => (await flow.kinds(meta.id)).join() === "delivered,delivered",
    30_000,
  );
  const arrived = [first, second].flatMap(({ received }) =>
    received.flatMap(({ to }) => to.map(({ address }) => address)),
  );
  assert.deepEqual(arrived, ["now@example.com", "later@example.com"]);
});
