/** Several processes of each service are restarted one by one under load. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { numbersOf, sendMail } from "../support/mail-load.ts";
import { startRedis } from "../support/redis.ts";
import { createServiceProcesses, type ServiceProcess } from "../support/service-processes.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

async function startWorld(t: TestContext) {
  const redis = await startRedis();
  const peer = await startSmtpPeer();
  const port = await freePort();
  const services = createServiceProcesses({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self", early_talker: 0 }],
    redis: { url: redis.url },
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    limits: { clients: { connections: 0 } },
    health: { port: 0 },
  });
  t.after(async () => {
    await services.close();
    await peer.stop();
    await redis.close();
  });
  const start = (...names: ServiceProcess["service"][]) =>
    Promise.all(names.map((name) => services.start(name)));
  return { peer, port, services, start };
}

/** A client that has said EHLO, and waits. */
async function idleSession(port: number): Promise<{ farewell: Promise<string> }> {
  const client = await SmtpClient.connect(port);
  await client.reply();
  assert.match(await client.command("EHLO idle.example"), /^250/);
  return { farewell: client.reply(240_000).finally(() => client.close()) };
}

test("restarted one by one under load, no mail is lost, none comes twice, and clients see 421 between messages at most", async (t) => {
  const { peer, port, services, start } = await startWorld(t);
  const processes = await start("ingress", "ingress", "delivery", "delivery");
  const farewells = await Promise.all(Array.from({ length: 6 }, () => idleSession(port)));
  const load = sendMail(port, 4);
  const under = async (what: string): Promise<void> => {
    const [sent, received] = [load.accepted.size, peer.received.length];
    await waitFor(
      `mail to go on ${what}`,
      () => load.accepted.size > sent + 20 && peer.received.length > received + 20,
    );
  };
  await under("at first");
  for (const [index, process] of processes.entries()) {
    assert.equal(await process.stop(), 0, `${process.service} stopped cleanly`);
    await under(`without one ${process.service}`);
    processes[index] = await services.start(process.service);
    await under(`with a new ${process.service}`);
  }
  await load.stop();
  t.diagnostic(`${load.accepted.size} messages, ${load.turnedAway} sessions turned away`);
  const numbers = () => numbersOf(peer);
  await waitFor("everything to be delivered", () => new Set(numbers()).size >= load.accepted.size, 60_000);
  assert.deepEqual(load.surprises, []);
  // Those that did nothing when their process was stopped: by then all of the first processes were.
  for (const { farewell } of farewells) assert.match(await farewell, /^421 4\.3\.2 /);
  const received = numbers();
  assert.equal(received.length, new Set(received).size, "none came twice");
  assert.deepEqual(
    [...load.accepted].filter((number) => !received.includes(number)),
    [],
    "none was lost",
  );
  const late = services.log.filter(({ message }) => /grace|could not stop/.test(String(message)));
  assert.deepEqual(late, []);
});
