/** The queues over several shards: operators see one queue, and a change of the number of shards loses and leaves nothing. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { numbersOf, sendMail } from "../support/mail-load.ts";
import { unlessInstalled } from "../support/programs.ts";
import { startRedis, type TestRedis } from "../support/redis.ts";
import { startClusterGroup } from "../support/redis-groups.ts";
import { createServiceProcesses, type ServiceCommand } from "../support/service-processes.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpScript, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessInstalled("redis-server");
const patienceMs = 120_000;
const token = "test-token-of-the-admin";

async function startWorld(
  t: TestContext,
  redis: Parameters<typeof createServiceProcesses>[0]["redis"],
  shards: number,
  script: SmtpScript = {},
) {
  const peer = await startSmtpPeer({ script });
  const [port, adminPort] = [await freePort(), await freePort()];
  const queue = (shards: number) => ({ shards, retry: ["1h"], delay_warning: "0" });
  const services = createServiceProcesses({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self", early_talker: 0 }],
    redis,
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    queue: queue(shards),
    limits: { clients: { connections: 0 } },
    health: { port: 0 },
    admin: { port: adminPort, token },
  });
  t.after(async () => {
    await services.close();
    await peer.stop();
  });
  const api = `http://127.0.0.1:${adminPort}`;
  return {
    peer,
    port,
    services,
    /** Processes that are started from now on have so many shards. */
    setShards: (count: number) => services.configure({ queue: queue(count) }),
    start: (...names: ServiceCommand[]) => Promise.all(names.map((name) => services.start(name))),
    async get<T>(path: string): Promise<T> {
      return (await (
        await fetch(`${api}${path}`, { headers: { authorization: `Bearer ${token}` } })
      ).json()) as T;
    },
    async post<T>(path: string, body: unknown): Promise<T> {
      const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
      const answer = await fetch(`${api}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
      const text = await answer.text();
      assert.ok(answer.ok, text);
      return JSON.parse(text) as T;
    },
  };
}

/** @returns the queue ids of messages to these recipients, one message each */
async function send(port: number, recipients: readonly string[]): Promise<string[]> {
  const client = await SmtpClient.connect(port);
  await client.reply();
  await client.command("EHLO client.example");
  const ids: string[] = [];
  for (const recipient of recipients) {
    for (const command of ["MAIL FROM:<ann@example.net>", `RCPT TO:<${recipient}>`, "DATA"])
      await client.command(command);
    client.write("Subject: hello\r\n\r\nHello.\r\n.\r\n");
    const reply = await client.reply();
    ids.push(/queued as (\w+)/.exec(reply)?.[1] ?? assert.fail(reply));
  }
  client.close();
  return ids;
}

const keys = async (redis: TestRedis, pattern: string): Promise<string[]> =>
  (await redis.command(`KEYS ${pattern}`)).split("\r\n").filter((line) => line.startsWith("{"));

interface Rows {
  messages: { id: string; status: string; queue: string; attempts: number }[];
  totals: { messages: number } | null;
}

test("with four shards mail flows, and operators see and change one queue", { skip }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  let isFull = true;
  const world = await startWorld(t, { url: redis.url }, 4, {
    rcpt(address) {
      if (address.startsWith("nobody")) return "550 5.1.1 no such mailbox";
      return address.startsWith("full") && isFull ? "452 4.2.2 mailbox full" : undefined;
    },
  });
  const { peer, port, start, get, post } = world;
  await start("ingress", "delivery", "bounce", "admin");
  const full = Array.from({ length: 16 }, (_, n) => `full-${n}@example.com`);
  const good = Array.from({ length: 16 }, (_, n) => `bob-${n}@example.com`);
  const deferred = await send(port, full);
  const delivered = await send(port, good);
  const [bounced = ""] = await send(port, ["nobody@example.com"]);

  const receivers = (): string[] => peer.received.flatMap(({ to }) => to.map(({ address }) => address));
  await waitFor("the good mail", () => good.every((address) => receivers().includes(address)), patienceMs);
  const notification = () =>
    peer.received.find(({ from, to }) => from === "" && to[0]?.address === "ann@example.net");
  await waitFor("the notification", notification, patienceMs);

  const list = (filter: string) => get<Rows>(`/api/v1/messages?limit=100&${filter}`);
  const statuses = async (): Promise<string[]> => {
    const { messages } = await list("");
    return messages.filter(({ attempts }) => attempts > 0).map(({ status }) => status);
  };
  const are = (status: string, count: number) => async () => {
    const all = await statuses();
    return all.length === count && all.every((each) => each === status);
  };
  await waitFor("all others to be deferred", are("deferred", 16), patienceMs);
  const rows = (await list("status=deferred")).messages;
  assert.deepEqual(rows.map(({ id }) => id).sort(), deferred.map((id) => `${id}-0`).sort());
  const shards = new Set(deferred.map((id) => id.slice(18)));
  assert.ok(shards.size > 1, `${[...shards]}: sixteen messages are in several shards`);
  assert.ok([...shards].every((shard) => /^[0-3]$/.test(shard)));
  const jobs = await keys(redis, "*:delivery*:*-0");
  assert.equal(jobs.length, 16);
  assert.ok(jobs.every((key) => key.startsWith(`{postern-${/:.{18}(.)-0$/.exec(key)?.[1]}}:delivery`)));

  const summary = await get<{ rows: { messages: number }[] }>("/api/v1/queues/summary?by=destination");
  assert.deepEqual(
    summary.rows.map(({ messages }) => messages),
    [16],
  );
  const { queues } = await get<{ queues: { name: string; deferred: number }[] }>("/api/v1/queues");
  assert.equal(
    queues.reduce((sum, each) => sum + each.deferred, 0),
    16,
  );
  const board = await get<{ queues: { name: string }[] }>("/queues/api/queues");
  assert.ok(
    board.queues.some(({ name }) => name === "postern-3-delivery"),
    "Bull Board has each shard",
  );

  const filter = { to: "*@example.com" };
  const held = await post<{ changed: number }>("/api/v1/messages/hold", { filter });
  assert.equal(held.changed, 16);
  await waitFor("all to be held", are("held", 16), patienceMs);
  const waiting = async () => {
    const { holds } = await get<{ holds: { waiting: number }[] }>("/api/v1/holds");
    return holds.length === 1 && holds[0]?.waiting === 16;
  };
  await waitFor("the hold to say so", waiting, patienceMs);
  const released = await post<{ changed: number }>("/api/v1/messages/release", { filter });
  assert.equal(released.changed, 16);
  await waitFor(
    "all to be tried again",
    async () =>
      (await list("")).messages.every(({ attempts, status }) => attempts === 2 && status === "deferred"),
    patienceMs,
  );

  const [removed = ""] = deferred;
  assert.equal((await post<{ changed: number }>("/api/v1/messages/remove", { ids: [removed] })).changed, 1);
  // Each process writes its events a moment after they happened.
  const timelineHas = (id: string, ...wanted: string[]) =>
    waitFor(
      `${wanted} in the timeline`,
      async () => {
        const { events } = await get<{ events: { event: string }[] }>(`/api/v1/trace?q=${id}`);
        return wanted.every((one) => events.some(({ event }) => event === one));
      },
      patienceMs,
    );
  for (const id of [delivered[3] ?? "", delivered[7] ?? ""])
    await timelineHas(id, "message.accepted", "message.settled");
  await timelineHas(bounced, "dsn.made");
  // All that Redis knew is lost, the shards among it.
  await redis.flush();
  const areBack = async () => {
    const { messages } = await list("");
    return (
      messages.length === 15 && messages.every((each) => each.attempts === 1 && each.status === "deferred")
    );
  };
  await waitFor("the rest to be scheduled again from the spool, and tried", areBack, patienceMs);
  isFull = false;
  const retried = await post<{ matched: number; changed: number }>("/api/v1/messages/retry", { all: true });
  assert.equal(retried.changed, 15);
  const leftTo = full.slice(1);
  await waitFor("the rest", () => leftTo.every((address) => receivers().includes(address)), patienceMs);
  await waitFor("an empty queue", async () => (await list("")).messages.length === 0, patienceMs);
  assert.ok(!receivers().includes(full[0] ?? ""), "what was removed is not delivered");
  assert.equal(receivers().length, 15 + 16 + 1, "each once");

  assert.deepEqual(await keys(redis, "{postern*}:delivery*:*-0"), []);
});

test("mail goes on while the number of shards changes: none is lost, none comes twice, no shard is left behind", {
  skip,
}, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.close());
  let isFull = true;
  const world = await startWorld(t, { url: redis.url }, 1, {
    rcpt: (address) => (address.startsWith("full") && isFull ? "452 4.2.2 mailbox full" : undefined),
  });
  const { peer, port, setShards, start, post, get } = world;
  // The admin and the bounce service keep the number of the beginning, as in the middle of a rolling change.
  let [ingress, delivery] = await start("ingress", "delivery", "bounce", "admin");
  const restart = async (): Promise<void> => {
    // The next one listens before this one stops.
    const [next] = await start("ingress");
    assert.equal(await ingress?.stop(), 0);
    ingress = next;
    assert.equal(await delivery?.stop(), 0);
    [delivery] = await start("delivery");
  };
  const waiting = await send(port, ["full-1@example.com"]);
  const load = sendMail(port, 2);
  const mailGoesOn = async (): Promise<void> => {
    const from = Math.max(0, ...load.accepted) + 1;
    await waitFor("mail to go on", () => numbersOf(peer).filter((n) => n >= from).length > 20, patienceMs);
  };
  await mailGoesOn();
  for (const count of [4, 2]) {
    setShards(count);
    await restart();
    await mailGoesOn();
    waiting.push(
      ...(await send(
        port,
        Array.from({ length: 20 }, (_, n) => `full-${count}-${n}@example.com`),
      )),
    );
  }
  await load.stop();
  const rows = () => get<Rows>("/api/v1/messages?status=deferred&limit=100");
  await waitFor(
    "all that wait, of three numbers of shards",
    async () => (await rows()).messages.length === 41,
    patienceMs,
  );
  const shards = waiting.map((id) => id.slice(18));
  assert.ok(shards.includes(""), "one is from before there were shards");
  assert.ok(shards.includes("2") || shards.includes("3"), "some are in shards of the former number");
  isFull = false;
  assert.equal((await post<{ changed: number }>("/api/v1/messages/retry", { all: true })).changed, 41);
  await waitFor("everything", () => peer.received.length >= load.accepted.size + waiting.length, patienceMs);
  const received = numbersOf(peer).filter((number) => !Number.isNaN(number));
  const lost = [...load.accepted].filter((number) => !received.includes(number));
  const twice = received.filter((number, at) => received.indexOf(number) !== at);
  assert.deepEqual({ lost, twice, surprises: load.surprises }, { lost: [], twice: [], surprises: [] });
  assert.equal(peer.received.length, load.accepted.size + waiting.length);

  // As if nobody had claimed them for half a minute.
  for (const prefix of ["{postern}", "{postern-2}", "{postern-3}"])
    await redis.command(`ZADD {postern}:shards XX 1 ${prefix}`);
  const known = async () => (await knownShards(redis)).sort();
  await waitFor(
    "the former shards to be forgotten",
    async () => (await known()).join() === "{postern-0},{postern-1}",
    patienceMs,
  );
  assert.deepEqual(await keys(redis, "{postern*}:delivery*:*-0"), []);
});

test("in a cluster each shard has its primary, and one that dies stops no mail for good", {
  skip,
}, async (t) => {
  const group = await startClusterGroup(2_000);
  t.after(() => group.close());
  const { peer, port, start, services } = await startWorld(t, group.setting, 3);
  const prefixes = ["{postern-0}", "{postern-1}", "{postern-2}"];
  const primaries = await Promise.all(prefixes.map((prefix) => group.primary(prefix)));
  assert.equal(new Set(primaries).size, 3, "three shards on three servers");
  await start("ingress", "delivery", "bounce");
  const load = sendMail(port, 2);
  const mailGoesOn = async (): Promise<void> => {
    const from = Math.max(0, ...load.accepted) + 1;
    // Two thirds of them are in shards whose primary is well; thirty are in all of them.
    await waitFor("mail to go on", () => numbersOf(peer).filter((n) => n >= from).length > 30, patienceMs);
  };
  await mailGoesOn();
  for (const [index, prefix] of prefixes.entries()) {
    const server = primaries[index] ?? assert.fail();
    assert.match(await server.command("EXISTS", `${prefix}:delivery:meta`), /:1/, `${prefix} has its queues`);
  }
  await primaries[1]?.kill();
  await mailGoesOn();
  await load.stop();
  await waitFor("everything", () => new Set(numbersOf(peer)).size >= load.accepted.size, patienceMs);
  const received = numbersOf(peer);
  const lost = [...load.accepted].filter((number) => !received.includes(number));
  const twice = received.filter((number, at) => received.indexOf(number) !== at);
  assert.deepEqual({ lost, twice, surprises: load.surprises }, { lost: [], twice: [], surprises: [] });
  const errors = services.log.filter(({ level }) => level === "error" || level === "fatal");
  assert.deepEqual(errors, []);
});

/** The shards that are in use. */
async function knownShards(redis: TestRedis): Promise<string[]> {
  return (await redis.command("ZRANGE {postern}:shards 0 -1"))
    .split("\r\n")
    .filter((line) => line.startsWith("{"));
}
