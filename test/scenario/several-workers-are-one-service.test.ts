/** `ingress --workers 2` and `delivery --workers 2`: one port, one /health and one /metrics for several processes. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { pino } from "pino";
import { parse, stringify } from "yaml";
import { readAnnouncements } from "../../shared/runtime/announcement.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { freePort } from "../support/free-port.ts";
import { type Load, numbersOf, sendMail } from "../support/mail-load.ts";
import { startRedis } from "../support/redis.ts";
import {
  createServiceProcesses,
  type ServiceProcess,
  type ServiceProcesses,
} from "../support/service-processes.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = process.platform !== "linux" && "needs Linux";

let redis: Awaited<ReturnType<typeof startRedis>>;
let peer: SmtpPeer;
let port: number;
let services: ServiceProcesses;
let ingress: ServiceProcess;
let delivery: ServiceProcess;
/** Each load numbers its messages from a multiple of this on. */
const size = 1_000_000;
let loads = 0;

before(async () => {
  if (skip) return;
  redis = await startRedis();
  peer = await startSmtpPeer();
  port = await freePort();
  services = createServiceProcesses({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self", early_talker: 0 }],
    redis: { url: redis.url },
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    limits: { clients: { connections: 0 } },
    health: { port: 0 },
  });
  const start = (name: "ingress" | "delivery") => services.start(name, "--workers", "2");
  [ingress, delivery] = await Promise.all([start("ingress"), start("delivery")]);
});
after(async () => {
  if (skip) return;
  await services.close();
  await peer.stop();
  await redis.close();
});

/** Where the supervisor answers. */
async function urlOf({ pid }: ServiceProcess): Promise<string> {
  const line = await waitFor("its line in the log", () =>
    services.log.find((each) => each.message === "running" && each.pid === pid),
  );
  return String(line.health).replace(/\/health$/, "");
}

interface HealthAnswer {
  ready: boolean;
  reasons: string[];
  warnings?: string[];
  workers: { pid: number; ready: boolean }[];
}
const healthOf = async (service: ServiceProcess) =>
  (await (await fetch(`${await urlOf(service)}/health`)).json()) as HealthAnswer;
const workersOf = async (service: ServiceProcess) => (await healthOf(service)).workers.map(({ pid }) => pid);

/** Series of a metric with their labels, as they are on the page. */
async function series(service: ServiceProcess, name: string): Promise<{ labels: string; value: number }[]> {
  const page = await (await fetch(`${await urlOf(service)}/metrics`)).text();
  return [...page.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"))].map(
    ([, labels = "", value]) => ({
      labels,
      value: Number(value),
    }),
  );
}
const total = async (service: ServiceProcess, name: string) =>
  (await series(service, name)).reduce((sum, { value }) => sum + value, 0);

/** The processes that have taken messages. */
const acceptedBy = () =>
  services.log.reduce(
    (counts, { event, pid }) =>
      event === "message.accepted" ? counts.set(Number(pid), (counts.get(Number(pid)) ?? 0) + 1) : counts,
    new Map<number, number>(),
  );

function load(clients = 6): Load {
  return sendMail(port, clients, loads++ * size);
}
const progress = async (under: Load, what: string) => {
  const [before, received] = [under.accepted.size, peer.received.length];
  await waitFor(
    what,
    () => under.accepted.size > before + 30 && peer.received.length > received + 30,
    60_000,
  );
};

/** Stops the load, and waits until all that was acknowledged has arrived. @returns what came twice */
async function arrived(under: Load): Promise<number[]> {
  await under.stop();
  const [first = 0] = under.accepted;
  // Among them are some whose client was cut off before its reply.
  const numbers = () =>
    numbersOf(peer).filter((number) => Math.floor(number / size) === Math.floor(first / size));
  await waitFor(
    "everything to arrive",
    () => new Set([...under.accepted, ...numbers()]).size === new Set(numbers()).size,
    120_000,
  );
  const received = numbers();
  return received.filter((number, index) => received.indexOf(number) !== index);
}

test("both workers take sessions on one port, and one page has the sums of both", { skip }, async () => {
  const under = load();
  await waitFor("both workers to take mail", () => acceptedBy().size === 2, 60_000);
  await progress(under, "mail to go on");
  assert.deepEqual(await arrived(under), []);
  assert.deepEqual(under.surprises, []);
  assert.deepEqual([...acceptedBy().keys()].toSorted(), (await workersOf(ingress)).toSorted());
  assert.equal(await total(ingress, "postern_messages_accepted_total"), under.accepted.size);
  await waitFor(
    "the outcomes to be counted",
    async () => (await total(delivery, "postern_delivery_outcomes_total")) === under.accepted.size,
  );
  const processes = await series(ingress, "process_resident_memory_bytes");
  assert.deepEqual(
    processes.map(({ labels }) => labels),
    ['service="ingress",worker="1"', 'service="ingress",worker="2"'],
  );
  assert.equal(await total(ingress, "postern_connections_limit"), 4000);
  assert.equal(await total(ingress, "postern_build_info"), 1);
  assert.equal(await total(delivery, "postern_workers_running"), 2);
});

test("each worker is announced, at the address of its supervisor", { skip }, async () => {
  const connection = createRedis({ url: redis.url }, "plain", pino({ level: "silent" }));
  try {
    const announced = await readAnnouncements(connection);
    for (const service of [ingress, delivery]) {
      const rows = announced.filter(({ name }) => name === service.service);
      assert.deepEqual(rows.map(({ pid }) => pid).toSorted(), (await workersOf(service)).toSorted());
      assert.deepEqual([...new Set(rows.map(({ url }) => url))], [await urlOf(service)]);
    }
  } finally {
    connection.disconnect();
  }
});

test("a worker that is killed under load is started again; the port goes on, and no mail is lost", {
  skip,
}, async () => {
  const under = load();
  await progress(under, "mail to go on at first");
  const before = await total(ingress, "postern_messages_accepted_total");
  const ofEach = await Promise.all([ingress, delivery].map(workersOf));
  for (const [killed = 0] of ofEach) process.kill(killed, "SIGKILL");
  assert.equal((await healthOf(ingress)).ready, true);
  await progress(under, "mail to go on without a worker of each");
  for (const [index, service] of [ingress, delivery].entries()) {
    const [killed = 0, other = 0] = ofEach[index] ?? [];
    const workers = await waitFor(
      "another worker",
      async () => {
        const now = await workersOf(service);
        return now.length === 2 && !now.includes(killed) ? now : undefined;
      },
      60_000,
    );
    assert.ok(workers.includes(other), "the other one goes on");
    assert.equal(await total(service, "postern_worker_exits_total"), 1);
  }
  await progress(under, "mail to go on with new workers");
  await arrived(under);
  assert.ok((await total(ingress, "postern_messages_accepted_total")) > before, "the sums do not go back");
  assert.deepEqual(
    under.surprises.filter((text) => /ECONNREFUSED/.test(text)),
    [],
  );
});

/** The processes of a service after a rolling restart. */
async function replaced(service: ServiceProcess, before: number[]): Promise<void> {
  await waitFor(
    `other workers of ${service.service}`,
    async () => {
      const now = await workersOf(service);
      return now.length === 2 && now.every((pid) => !before.includes(pid));
    },
    120_000,
  );
}

test("at SIGUSR2 the workers are replaced under load: no connection is refused, nothing lost, nothing twice", {
  skip,
}, async () => {
  const under = load();
  await progress(under, "mail to go on at first");
  const accepted = await total(ingress, "postern_messages_accepted_total");
  const both = [ingress, delivery];
  const before = await Promise.all(both.map(workersOf));
  for (const service of both) service.signal("SIGUSR2");
  await Promise.all(both.map((service, index) => replaced(service, before[index] ?? [])));
  for (const service of both)
    assert.equal(await total(service, "postern_worker_exits_total"), 1, "that of the test before");
  await progress(under, "mail to go on with new workers");
  assert.deepEqual(await arrived(under), []);
  assert.deepEqual(under.surprises, []);
  assert.ok((await total(ingress, "postern_messages_accepted_total")) >= accepted + 60);
});

test("a connection that no worker has accepted yet outlives all workers that were there", {
  skip,
}, async () => {
  const workers = await workersOf(ingress);
  for (const pid of workers) process.kill(pid, "SIGSTOP");
  const clients = await Promise.all(Array.from({ length: 8 }, () => SmtpClient.connect(port)));
  for (const pid of workers) process.kill(pid, "SIGKILL");
  for (const client of clients) {
    assert.match(await client.reply(60_000), /^220 /);
    client.close();
  }
  await replaced(ingress, workers);
});

test("SIGHUP reaches all workers, and restarts them for what they follow at their start", {
  skip,
}, async () => {
  const greeting = async (at: number): Promise<string> => {
    const client = await SmtpClient.connect(at);
    const text = await client.reply(60_000);
    client.close();
    return text;
  };
  const change = (edit: (config: { hostname: string; listeners: { port: number }[] }) => void) => {
    const config = parse(readFileSync(services.file, "utf8"));
    edit(config);
    writeFileSync(services.file, stringify(config));
  };
  const before = await workersOf(ingress);
  change((config) => {
    config.hostname = "other.example.net";
  });
  ingress.signal("SIGHUP");
  const taken = () => services.log.filter(({ event }) => event === "config.taken").map(({ pid }) => pid);
  await waitFor("both workers to take it", () => before.every((pid) => taken().includes(pid)));
  assert.match(await greeting(port), /^220 other\.example\.net /);
  assert.deepEqual(await workersOf(ingress), before, "none was restarted");

  const old = port;
  const next = await freePort();
  change((config) => {
    for (const listener of config.listeners) listener.port = next;
  });
  const under = load();
  await progress(under, "mail to go on at the port before");
  await under.stop();
  ingress.signal("SIGHUP");
  await replaced(ingress, before);
  port = next;
  assert.match(await greeting(port), /^220 other\.example\.net /);
  await waitFor("the port before to be closed", () =>
    greeting(old).then(
      () => false,
      (error: Error) => /ECONNREFUSED/.test(error.message),
    ),
  );
});

test("SIGTERM ends all of it, and none is started again", { skip }, async () => {
  const workers = [...(await workersOf(ingress)), ...(await workersOf(delivery))];
  assert.deepEqual(await Promise.all([ingress.stop(), delivery.stop()]), [0, 0]);
  for (const pid of workers) assert.throws(() => process.kill(pid, 0), /ESRCH/);
  const fatal = services.log.filter(
    ({ level, message }) => level === "fatal" || /grace|could not/.test(`${message}`),
  );
  assert.deepEqual(fatal, []);
});
