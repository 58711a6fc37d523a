import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { commands } from "../../services/cli/commands.ts";
import { dispatch } from "../../services/cli/dispatch.ts";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { type ClusterLimiter, createClusterLimiter } from "../../shared/limits/cluster-limiter.ts";
import {
  ConnectionPublisher,
  type PhaseCounts,
  readConnections,
} from "../../shared/limits/connection-phases.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import type { ConfiguredSmtpClient } from "../../shared/smtp-client/create-smtp-client.ts";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { attempt, testTransport } from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const log = createLogger("test", { write() {} });
const relayHost = "127.0.0.11";
let admin: TestAdmin;
let directory: string;
let limiter: ClusterLimiter;
let client: ConfiguredSmtpClient;
let peer: SmtpPeer;
/** What the server waits for before it greets, and before it answers the final dot. */
const greeting = Promise.withResolvers<void>();
const dot = Promise.withResolvers<void>();

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "destination-"));
  peer = await startSmtpPeer({
    address: relayHost,
    script: {
      connect: () => greeting.promise.then(() => undefined),
      message: () => dot.promise.then(() => undefined),
    },
  });
  admin = await startTestAdmin({
    relay: {
      hosts: { isp: { host: relayHost, port: peer.port } },
      routes: [{ to: "*@routed.example", via: "isp" }],
    },
    limits: { destinations: [{ match: relayHost, connections: 3, rate: "2/1h" }] },
  });
  limiter = createClusterLimiter({
    redis: { url: admin.redis.url },
    log,
    deadDestinations: { firstMs: 60_000, maxMs: 60_000 },
  });
  client = testTransport({
    config: { limits: { destinations: [{ match: relayHost, connections: 3, rate: "2/1h" }] } },
    options: { limiter },
  });
  limiter.publishConnections(() => client.connections());
  await writeFile(
    path.join(directory, "postern.yaml"),
    `hostname: gw.example.net
data: ${directory}/data
listeners: [{ name: submission, address: 127.0.0.1, port: 0 }]
admin: { port: ${new URL(admin.url).port}, token: ${token} }
`,
  );
});
after(async () => {
  greeting.resolve();
  dot.resolve();
  await client.close(1000);
  await limiter.close();
  await peer.stop();
  await admin.close();
  await rm(directory, { recursive: true });
});

async function postern(...words: string[]): Promise<{ status: number; out: string }> {
  let out = "";
  const io = {
    stdin: process.stdin,
    stdout: { columns: 80, write: (text: string) => (out += text) },
    stderr: { write() {} },
  };
  const status = await dispatch(
    { commands, version: "0" },
    ["-c", path.join(directory, "postern.yaml"), ...words],
    io,
  );
  const wide = out.split("\n").filter((line) => line.length > 80);
  assert.deepEqual(wide, []);
  return { status, out };
}

interface Destination {
  name: string;
  nextHop: string | null;
  countedAs: string;
  rateInUse: { used: number; of: number; nextAt: string | null } | null;
  phases: PhaseCounts;
  slots: { host: string; connections: number; phases: PhaseCounts }[];
  deadHosts: { hosts: string; since: string | null; reason: string }[];
  why: string[];
  lastDelivered: { id: string; reply: string }[];
}
async function destination(name: string): Promise<Destination> {
  return (await (await admin.get(`/api/v1/destinations/${name}`)).json()) as Destination;
}

async function seePhases(name: string, wanted: PhaseCounts): Promise<void> {
  await waitFor(`${name} with ${JSON.stringify(wanted)}`, async () => {
    const { phases } = await destination(name);
    return JSON.stringify(phases) === JSON.stringify(wanted);
  });
}

const viaRelay = () => ({
  kind: "relay" as const,
  relay: { name: "isp", host: relayHost, port: peer.port, tls: "none" as const },
});

test("a connection is seen to greet, to carry a message, to be idle, and to be gone", async () => {
  const attempts = attempt(client, viaRelay());
  await seePhases("isp", { greeting: 1 });
  const { out } = await postern("destination", "isp");
  assert.match(out, new RegExp(`In use: {2}1\n {11}1 by ${hostname()} \\(pid ${process.pid}\\):`));
  assert.match(out, /1 awaiting greeting/);
  greeting.resolve();
  await seePhases("isp", { transaction: 1 });
  assert.match((await postern("destination")).out, /127\.0\.0\.11 +0 +\. +- +1 sending/);
  dot.resolve();
  await attempts;
  await seePhases("isp", { idle: 1 });
  const { slots } = await destination("isp");
  assert.deepEqual(
    slots.map(({ connections, phases }) => [connections, phases]),
    [[1, { idle: 1 }]],
  );
});

test("a domain, a relay host's name and its host are one destination with one count", async () => {
  const names = ["isp", relayHost, `${relayHost}:${peer.port}`, "routed.example"];
  const found = await Promise.all(names.map(destination));
  assert.deepEqual(
    found.map(({ countedAs, nextHop }) => [countedAs, nextHop]),
    [
      [relayHost, `isp (${relayHost}:${peer.port})`],
      [relayHost, null],
      [relayHost, null],
      [relayHost, `isp (${relayHost}:${peer.port})`],
    ],
  );
  assert.deepEqual(new Set(found.map(({ phases }) => phases.idle)), new Set([1]));
});

test("a rate says how much of it is used, and when the next message may go", async () => {
  const rate = { count: 2, periodMs: 3_600_000 };
  assert.deepEqual((await destination("isp")).rateInUse, { used: 1, of: 2, nextAt: null });
  assert.equal(await limiter.admitMessage(relayHost, rate), 0);
  const { rateInUse, why } = await destination("isp");
  assert.equal(rateInUse?.used, 2);
  assert.ok(Date.parse(rateInUse?.nextAt ?? "") > Date.now() + 60_000);
  assert.match(why.join(), /Its rate is used up: the next message may go in \d+m/);
});

test("dead hosts on other ports, and several servers, are found by the name of the destination", async () => {
  const atMs = Date.now();
  const diagnosis = { status: "4.4.1", class: "connect", reason: "refused", atMs } as const;
  const name = "dead.example";
  const begunMs = atMs - 120_000;
  const all = [`${name}:2525`, `${name}:587,127.0.0.12:587`];
  for (const hosts of all) limiter.reportNoAnswer(name, hosts, diagnosis, begunMs);
  await waitFor("both dead", async () => (await destination(name)).deadHosts.length === 2);
  // A second attempt that fails does not change since when it is so.
  limiter.reportNoAnswer(name, `${name}:2525`, diagnosis, Date.now());
  await limiter.takeSlot({ destination: name, connections: 1, reachabilityKey: `${name}:2525` });
  const { deadHosts, why } = await destination(name);
  assert.deepEqual(new Set(deadHosts.map(({ hosts }) => hosts)), new Set(all));
  for (const { since } of deadHosts) {
    assert.ok(Math.abs(Date.parse(since ?? "") - begunMs) < 10_000, "since the first attempt that failed");
  }
  assert.match(
    why[0] ?? "",
    /^No host of dead\.example:\S+ answers: refused\. It has been so for 2m\. The next/,
  );
  assert.match((await postern("destination")).out, /dead\.example .* for 2m/);
});

test("a server that is dead does not make another on the same host seem dead", async () => {
  const diagnosis = { status: "4.4.1", class: "connect", reason: "refused", atMs: Date.now() } as const;
  limiter.reportNoAnswer(relayHost, `${relayHost}:2599`, diagnosis, Date.now());
  await waitFor("it is dead", async () => (await destination(relayHost)).deadHosts.length === 1);
  assert.equal((await destination(`${relayHost}:2599`)).deadHosts.length, 1);
  for (const name of ["isp", "routed.example", `${relayHost}:${peer.port}`]) {
    assert.deepEqual((await destination(name)).deadHosts, [], name);
  }
});

test("the last replies to delivered mail are those of the destination", async () => {
  const redis = { url: admin.redis.url };
  const events = createEventPublisher({ redis, log, events: { keep: 3_600_000, max: 1000 } });
  for (const to of ["bob@routed.example", "bob@else.example"]) {
    const remote = "mx.else.example[192.0.2.1]:25";
    events.add({ event: "delivery.delivered", id: "0X", to, remote, reply: "250 ok" });
  }
  await waitFor("the events", async () => (await destination("mx.else.example")).lastDelivered.length === 2);
  await events.close();
  assert.equal((await destination("routed.example")).lastDelivered.length, 1);
  const { status, out } = await postern("destination", "else.example");
  assert.equal(status, 0);
  assert.match(out, /Took: {4}0X \d+s ago, mx\.else\.example\[192\.0\.2\.1\]:25: 250 ok/);
});

test("connections are written only when they have changed, and expire with their process", async (t) => {
  const redis = createRedis({ url: admin.redis.url }, "plain", log);
  t.after(() => redis.disconnect());
  await redis.ping();
  let current = new Map<string, PhaseCounts>([["example.com", { dialing: 2 }]]);
  const publisher = new ConnectionPublisher({ redis, process: "gw2 4711 x", connections: () => current });
  publisher.close();
  const seen = async () => (await readConnections(redis, "example.com")).map(({ pid }) => pid);
  await publisher.publish(0);
  assert.deepEqual(await seen(), [4711]);
  assert.ok((await redis.pttl("{postern}:connections:gw2 4711 x")) > 0);
  await redis.del("{postern}:connections:gw2 4711 x");
  await publisher.publish(1_000);
  assert.deepEqual(await seen(), [], "not written while nothing changes");
  await publisher.publish(4_000);
  assert.deepEqual(await seen(), [4711], "and again before it expires");
  current = new Map();
  await publisher.publish(5_000);
  assert.deepEqual(await seen(), []);
  assert.equal(await redis.sismember("{postern}:connections", "gw2 4711 x"), 0);
});
