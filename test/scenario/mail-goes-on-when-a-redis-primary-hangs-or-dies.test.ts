/** Sentinels, and a cluster, whose primary is stopped and killed under load. How long mail stood still is printed. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { type Load, numbersOf, sendMail } from "../support/mail-load.ts";
import { unlessInstalled } from "../support/programs.ts";
import { type RedisGroup, startClusterGroup, startSentinelGroup } from "../support/redis-groups.ts";
import type { RedisProcess } from "../support/redis-servers.ts";
import {
  createServiceProcesses,
  type ServiceCommand,
  type ServiceProcesses,
} from "../support/service-processes.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpScript, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessInstalled("redis-server");
/** `npm run failover` waits as long as a usual installation does. */
const silentMs = Number(process.env.POSTERN_TEST_DOWN_AFTER_MS ?? 2_000);
/** A slow machine needs several elections, and each takes its time. */
const patientMs = 180_000;
const timeout = 600_000;
/** Messages that wait at most: on a slow machine the workers would never come to those that are accepted now. */
const mostWaiting = 300;
const groups = {
  "of three sentinels": () => startSentinelGroup(silentMs),
  "of a cluster": () => startClusterGroup(silentMs),
};

async function startWorld(t: TestContext, startGroup: () => Promise<RedisGroup>, script: SmtpScript = {}) {
  const group = await startGroup();
  const peer = await startSmtpPeer({ script });
  const [port, adminPort] = [await freePort(), await freePort()];
  const services = createServiceProcesses({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self", early_talker: 0 }],
    redis: group.setting,
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    queue: { retry: ["1h"], delay_warning: 0 },
    limits: { clients: { connections: 0 } },
    health: { port: 0 },
    admin: { port: adminPort },
  });
  t.after(async () => {
    await services.close();
    await peer.stop();
    await group.close();
  });
  const start = (...names: ServiceCommand[]) => Promise.all(names.map((name) => services.start(name)));
  const ask = (path: string) => fetch(`http://127.0.0.1:${adminPort}${path}`);
  const until = (what: string, condition: () => boolean | Promise<boolean>) =>
    waitFor(what, condition, patientMs).catch(async (error) => {
      t.diagnostic(await describe(group, services));
      t.diagnostic(`delivered: ${peer.received.length}, the last of them ${numbersOf(peer).slice(-5)}`);
      throw error;
    });
  return { group, peer, port, services, start, ask, until };
}

/** What each process says of Redis, in order. */
function outages(log: Record<string, unknown>[]): string[][] {
  const lines = log.filter(({ message }) => /^Redis is /.test(String(message)));
  return [...Map.groupBy(lines, ({ pid }) => pid).values()].map((each) =>
    each.map(({ message }) => String(message)),
  );
}

/** What the servers of Redis say of each other, and what each process said last, and of Redis. */
async function describe(group: RedisGroup, services: ServiceProcesses): Promise<string> {
  const isOfRedis = ({ message, level }: Record<string, unknown>): boolean =>
    /^Redis is /.test(String(message)) || /^(warn|error|fatal)$/.test(String(level));
  const lines = [...Map.groupBy(services.log, ({ pid }) => pid).values()].flatMap((each) => [
    ...each.filter(isOfRedis).slice(-20),
    ...each.slice(-5),
  ]);
  return [await group.describe(), ...lines.map((line) => JSON.stringify(line).slice(0, 500))].join("\n");
}

for (const [what, startGroup] of Object.entries(groups)) {
  test(`mail goes on when the primary ${what} hangs or dies: none is lost, none comes twice`, {
    skip,
    timeout,
  }, async (t) => {
    const { group, peer, port, services, start, ask, until } = await startWorld(t, startGroup);
    const processes = await start("ingress", "delivery", "delivery", "bounce", "admin");
    const hasRoom = ({ accepted }: Load) => accepted.size - peer.received.length < mostWaiting;
    const load = sendMail(port, 2, 0, hasRoom);
    const mailGoesOn = async (since: string): Promise<void> => {
      // What is accepted from now on needs Redis to be delivered.
      const [startedMs, from] = [Date.now(), Math.max(0, ...load.accepted) + 1];
      const fresh = () => numbersOf(peer).filter((number) => number >= from).length;
      await until(`mail to go on ${since}`, () => fresh() > 20);
      t.diagnostic(`${since}: ${((Date.now() - startedMs) / 1_000).toFixed(1)} s`);
    };
    await mailGoesOn("at first");

    const hung = await group.primary();
    hung.pause();
    await mailGoesOn("although the primary hangs");
    hung.resume();
    await group.isWhole();
    await mailGoesOn("with the old primary as replica");

    await group.isWhole();
    await (await group.primary()).kill();
    await mailGoesOn("although the primary died");
    const isLoggedByAll = () => {
      // Of the first outage. Just after one, a second that lasts for less than three seconds is not logged.
      const lines = outages(services.log);
      return lines.length === processes.length && lines.every((each) => each.at(-1) === "Redis is back");
    };
    await until("every process to say that Redis was out of reach and is back", isLoggedByAll);
    await load.stop();
    await until("everything to be delivered", () => new Set(numbersOf(peer)).size >= load.accepted.size);
    const received = numbersOf(peer);
    const lost = [...load.accepted].filter((number) => !received.includes(number));
    const twice = received.filter((number, at) => received.indexOf(number) !== at);
    assert.deepEqual({ lost, twice, surprises: load.surprises }, { lost: [], twice: [], surprises: [] });

    // On a busy machine servers take over from each other once more, and then there are more.
    t.diagnostic(`lines on Redis, by process: ${outages(services.log).map((lines) => lines.length)}`);

    // No other has its data: nothing can take over.
    const last = await group.primary();
    last.pause();
    const refused = await ask("/api/v1/messages");
    assert.equal(refused.status, 503, "the admin answers although nothing does");
    last.resume();
    const isShown = async () => (await ask("/api/v1/messages")).status === 200;
    await until("the admin to show the queue again", isShown);
    const areBack = () => outages(services.log).every((lines) => lines.at(-1) === "Redis is back");
    await until("every process to have Redis back", areBack);

    for (const process of processes)
      assert.equal(await process.stop(), 0, `${process.service} stopped cleanly`);
    for (const lines of outages(services.log)) {
      const pairs = Array.from({ length: lines.length / 2 }, () => [
        "Redis is out of reach",
        "Redis is back",
      ]);
      assert.deepEqual(lines, pairs.flat(), "out of reach and back, in turn, and nothing at the end");
    }
    assert.deepEqual(
      services.log.filter(({ level }) => level === "error" || level === "fatal"),
      [],
    );
  });

  test(`jobs that the next primary ${what} never got are found missing`, { skip, timeout }, async (t) => {
    let isBusy = true;
    const { group, peer, port, services, start, until } = await startWorld(t, startGroup, {
      rcpt: () => (isBusy ? "450 4.2.1 later" : undefined),
    });
    await start("ingress", "delivery");
    const primary = await group.primary();
    const replica = await replicaOf(primary, group);
    const delayed = async (server: RedisProcess) =>
      Number(/:(\d+)/.exec(await server.command("ZCARD", "{postern}:delivery:delayed"))?.[1]);
    // From now on nothing is replicated.
    replica.pause();
    await primary.command("CLIENT", "KILL", "TYPE", "replica");
    const client = await SmtpClient.connect(port);
    await client.reply();
    await client.command("EHLO client.example");
    for (let number = 0; number < 5; number++) {
      for (const command of ["MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.com>", "DATA"])
        await client.command(command);
      client.write(`X-Number: ${number}\r\n\r\nHello.\r\n.\r\n`);
      assert.match(await client.reply(), /^250 /);
    }
    client.close();
    await until("all to be deferred for an hour", async () => (await delayed(primary)) === 5);
    isBusy = false;
    await primary.kill();
    replica.resume();
    await until("all to be delivered, by the next primary", () => new Set(numbersOf(peer)).size === 5);
    const found = services.log.filter(({ message }) => message === "compared the queues with the spool");
    assert.ok(found.some(({ deliveries }) => deliveries === 5));
    assert.equal(numbersOf(peer).length, 5, "once each");
  });
}

async function replicaOf(primary: RedisProcess, group: RedisGroup): Promise<RedisProcess> {
  for (const server of group.servers) {
    if (server === primary) continue;
    if ((await server.command("INFO", "replication")).includes(`master_port:${primary.port}\r\n`))
      return server;
  }
  throw new Error("the primary has no replica");
}
