/** The profile `ha` of docker-compose.yml with its own files: HAProxy in front of two ingresses, which are restarted under load. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parse } from "yaml";
import type { z } from "zod";
import type { configSchema } from "../../shared/config/schema.ts";
import { root } from "../support/compose.ts";
import { startDnsZone } from "../support/dns-zone.ts";
import { freePort } from "../support/free-port.ts";
import { numbersOf, sendMail } from "../support/mail-load.ts";
import { run, searchPath, unlessInstalled } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
import { createServiceProcesses, type ServiceProcess } from "../support/service-processes.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessInstalled("redis-server", "haproxy");
const balancerFile = join(root, "deploy/ha/haproxy.cfg");
const config: z.input<typeof configSchema> = parse(
  readFileSync(join(root, "deploy/ha/postern.yaml"), "utf8"),
);
/** What Docker's name server would say of two containers. */
const ingressAddresses = ["127.0.9.1", "127.0.9.2"];
const giveUpMs = 120_000;

test("HAProxy takes its configuration", { skip: unlessInstalled("haproxy") }, async () => {
  const { code, output } = await run("haproxy", ["-c", "-f", balancerFile]);
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /WARNING/);
});

test("HAProxy sends to the port of the containers, where only PROXY headers are understood", () => {
  const text = readFileSync(balancerFile, "utf8");
  const [listener, ...others] = config.listeners ?? [];
  assert.deepEqual(others, []);
  assert.equal(listener?.destination, "proxy");
  assert.match(text, new RegExp(`"\\$\\{POSTERN_INGRESS-ingress:${listener?.port}\\}"`));
  assert.match(text, new RegExp(`"\\$\\{POSTERN_HEALTH_PORT-${config.health?.port}\\}"`));
});

async function startWorld(t: TestContext) {
  const zone = await startDnsZone({ ingress: { A: ingressAddresses, ttl: 1 } });
  const redis = await startRedis();
  const peer = await startSmtpPeer();
  const [smtp, health, front, frontHealth] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const [listener] = config.listeners ?? [];
  assert.ok(listener);
  const common = {
    ...config,
    redis: { url: redis.url },
    relay: { ...config.relay, routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    delivery: { loopback: "allow" as const },
    limits: { clients: { connections: 0 } },
    admin: { port: 0 },
  };
  const others = createServiceProcesses({ ...common, data: undefined, health: { port: 0 } });
  const data = join(others.directory, "data");
  const groups = ingressAddresses.map((address) =>
    createServiceProcesses({
      ...common,
      data,
      // HAProxy connects from loopback here.
      listeners: [
        { ...listener, address, port: smtp, trusted_proxies: ["127.0.0.1", "127.0.9.0/24"], early_talker: 0 },
      ],
      health: { address, port: health },
    }),
  );
  let balancer: ChildProcess | undefined;
  t.after(async () => {
    balancer?.kill("SIGKILL");
    for (const group of [...groups, others]) await group.close();
    await Promise.all([peer.stop(), redis.close(), zone.stop()]);
  });

  await others.start("delivery");
  const ingresses = await Promise.all(groups.map((group) => group.start("ingress")));
  balancer = spawn("haproxy", ["-db", "-f", balancerFile], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      PATH: searchPath,
      POSTERN_RESOLVER: zone.server,
      POSTERN_SMTP: `127.0.0.1:${front}`,
      POSTERN_BALANCER_HEALTH: `127.0.0.1:${frontHealth}`,
      POSTERN_INGRESS: `ingress:${smtp}`,
      POSTERN_HEALTH_PORT: String(health),
    },
  });
  const child = balancer;
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  await waitFor(
    "HAProxy to find an ingress",
    async () => {
      if (child.exitCode !== null) throw new Error(`haproxy ended: ${said}`);
      const answer = await fetch(`http://127.0.0.1:${frontHealth}/health`).catch(() => undefined);
      return answer?.status === 200;
    },
    giveUpMs,
  );
  /** Sessions that an ingress has begun. */
  const sessions = (index: number) =>
    groups[index]?.log.filter(({ event }) => event === "session.open") ?? [];
  return { front, groups, ingresses, others, peer, sessions };
}

test("two ingresses behind HAProxy share the sessions, know the clients, and are restarted one by one: nothing is lost, nothing comes twice", {
  skip,
}, async (t) => {
  const { front, groups, ingresses, others, peer, sessions } = await startWorld(t);
  const client = await SmtpClient.connect(front, "127.0.0.1", "127.0.0.77");
  t.after(() => client.close());
  assert.match(await client.reply(giveUpMs), /^220 gw\.example\.net /);
  await waitFor("a session with the client's own address in the log", () =>
    [0, 1].flatMap(sessions).some((line) => JSON.stringify(line).includes("127.0.0.77")),
  );
  client.close();

  const load = sendMail(front, 4);
  const onward = async (what: string): Promise<void> => {
    const [sent, received] = [load.accepted.size, peer.received.length];
    await waitFor(
      `mail to go on ${what}`,
      () => load.accepted.size > sent + 20 && peer.received.length > received + 20,
      giveUpMs,
    );
  };
  const shared = async (what: string): Promise<void> => {
    const before = [0, 1].map((index) => sessions(index).length);
    await waitFor(
      `both to have sessions ${what}`,
      () => [0, 1].every((index) => sessions(index).length > (before[index] ?? 0) + 2),
      giveUpMs,
    );
  };
  await shared("at first");
  for (const [index, process] of ingresses.entries()) {
    assert.equal(await process.stop(), 0, "it stopped cleanly");
    await onward(`without ingress ${index + 1}`);
    ingresses[index] = (await groups[index]?.start("ingress")) as ServiceProcess;
    await shared(`with a new ingress ${index + 1}`);
  }
  await load.stop();

  await waitFor(
    "everything to be delivered",
    () => new Set(numbersOf(peer)).size >= load.accepted.size,
    giveUpMs,
  );
  // A client that gets no greeting, since its ingress has just stopped, tries again.
  assert.deepEqual(
    load.surprises.filter((line) => !/^(connect|greeting): /.test(line)),
    [],
  );
  const received = numbersOf(peer);
  assert.equal(received.length, new Set(received).size, "none came twice");
  const lost = [...load.accepted].filter((number) => !received.includes(number));
  assert.deepEqual(lost, [], "none was lost");
  t.diagnostic(
    `${load.accepted.size} messages, ${load.turnedAway} sessions turned away, lost ${lost.length}`,
  );
  const late = [...groups, others].flatMap(({ log }) =>
    log.filter(({ message }) => /grace|could not stop/.test(String(message))),
  );
  assert.deepEqual(late, []);
});
