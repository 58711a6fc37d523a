/** The stream of events on a real Redis: appended in batches, found by word, kept by age and number, never in the way of mail. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { encodeEvent, wordsOf } from "../../shared/events/event.ts";
import { encodeNumber, fingerprint } from "../../shared/events/fingerprint.ts";
import { appendEvents, newShardExpiries } from "../../shared/events/stream/append.ts";
import { EventBatch } from "../../shared/events/stream/event-batch.ts";
import {
  createEventPublisher,
  type EventPublisherOptions,
} from "../../shared/events/stream/event-publisher.ts";
import { createEventReader } from "../../shared/events/stream/event-reader.ts";
import { findTrace, parseWanted } from "../../shared/events/stream/find-trace.ts";
import { eventKeys } from "../../shared/events/stream/keys.ts";
import { packEvents } from "../../shared/events/stream/packing.ts";
import { createLogger, logEvent, withEventSink } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { startRedis } from "../support/redis.ts";
import { waitFor } from "../support/wait-for.ts";

async function startEvents(t: TestContext, options: Partial<EventPublisherOptions> = {}) {
  const redis = await startRedis();
  const lines: Record<string, unknown>[] = [];
  const log = createLogger("test", { write: (line) => lines.push(JSON.parse(line)) });
  const metrics = createMetrics("test");
  const publisher = createEventPublisher({
    redis: { url: redis.url },
    log,
    metrics,
    events: { keep: 3_600_000, max: 1_000_000 },
    intervalMs: 5,
    ...options,
  });
  const connection = createRedis({ url: redis.url }, "plain", log);
  t.after(async () => {
    await publisher.close();
    connection.disconnect();
    await redis.close();
  });
  const counted = async (name: string): Promise<number> => {
    const text = await metrics.text();
    return Number(new RegExp(`^postern_${name}\\{.*\\} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  };
  const reader = createEventReader(connection);
  return { redis, lines, log, publisher, connection, reader, counted };
}

test("an event is in the log and in the stream with the same fields, and found by each of its words", async (t) => {
  const { lines, log, publisher, reader } = await startEvents(t);
  const to = ["bob@example.com", "carol@example.com"];
  const own = withEventSink(log, publisher);
  logEvent(own, { event: "message.accepted", id: "A", from: "a@x.example", to, messageId: "<1@x>" });
  logEvent(log, { event: "message.accepted", id: "not published", to });

  const [event] = await waitFor("the event", async () => {
    const found = await reader.find("A", 10);
    return found.length > 0 && found;
  });
  const { eventId: _, version: _v, at: _at, ...fields } = event ?? assert.fail();
  const { level: _l, time: _t, service: _s, pid: _p, ...logged } = lines[0] ?? assert.fail();
  assert.deepEqual(fields, logged);
  for (const word of ["a@x.example", "bob@example.com", "carol@example.com", "<1@x>"])
    assert.equal((await reader.find(word, 10)).length, 1, word);
  assert.deepEqual(await reader.find("dave@example.com", 10), []);
});

test("each of thousands of messages is found among the others, the latest first in line", async (t) => {
  const { publisher, reader } = await startEvents(t);
  for (let index = 0; index < 5_000; index++)
    publisher.add({ event: "delivery.delivered", id: `M${index}`, to: `r${index % 100}@example.com` });
  await waitFor("the last", async () => (await reader.find("M4999", 10)).length === 1);
  for (const index of [0, 999, 1_000, 2_500, 4_998])
    assert.deepEqual(
      (await reader.find(`M${index}`, 10)).map(({ id }) => id),
      [`M${index}`],
    );
  const of7 = await reader.find("r7@example.com", 3);
  assert.deepEqual(
    of7.map(({ id }) => id),
    ["M4707", "M4807", "M4907"],
  );
});

test("with more events than events.max the oldest go, and the index goes with them", async (t) => {
  const { publisher, reader, connection } = await startEvents(t, { events: { keep: 3_600_000, max: 500 } });
  for (let index = 0; index < 20_000; index++)
    publisher.add({ event: "delivery.delivered", id: `M${index % 10_000}`, place: index });
  await waitFor("the last", async () => (await reader.after("0", 20_000)).at(-1)?.place === 19_999);
  const kept = await reader.after("0", 20_000);
  assert.ok(kept.length >= 500 && kept.length < 500 + packEvents, `${kept.length} events are kept`);
  assert.deepEqual(await reader.find("M5", 10), []);
  let records = 0;
  for (let shard = 0; shard < 64; shard++) {
    for (const [, fields] of await connection.xrange(`{postern}:events:words:${shard}`, "-", "+"))
      records += (fields[1] ?? "").length / 10;
  }
  assert.ok(records < 20_000, `${records} records of the index are left`);
});

test("events older than events.keep go, and a Redis that nobody writes to any more forgets them", async (t) => {
  const { publisher, reader, connection } = await startEvents(t, { events: { keep: 400, max: 1_000 } });
  publisher.add({ event: "delivery.delivered", id: "old" });
  await waitFor("the event", async () => (await reader.find("old", 10)).length === 1);
  await waitFor("the old one to go", async () => {
    publisher.add({ event: "delivery.delivered", id: "new" });
    const [old, fresh] = [await reader.find("old", 10), await reader.find("new", 10)];
    return old.length === 0 && fresh.length > 0;
  });
  await waitFor("all keys to expire", async () => (await connection.dbsize()) === 0);
});

test("while Redis is away events wait within bounds; what is dropped is counted and logged once", async (t) => {
  const { redis, publisher, reader, lines, counted } = await startEvents(t, {
    limit: { events: 100, octets: 1_000_000 },
  });
  publisher.add({ event: "delivery.delivered", id: "before" });
  await waitFor("the event", async () => (await reader.find("before", 10)).length === 1);
  await redis.kill();
  for (let index = 0; index < 300; index++) publisher.add({ event: "delivery.delivered", id: `M${index}` });
  assert.equal(await counted("events_dropped_total"), 200);
  assert.equal(await counted("events_waiting"), 100);
  await redis.restart();
  await waitFor("those that waited", async () => (await reader.find("M99", 10)).length === 1);
  assert.deepEqual(await reader.find("M100", 10), []);
  const dropLines = lines.filter(({ message }) => /^events (are|were) dropped/.test(String(message)));
  assert.deepEqual(
    dropLines.map(({ level, events }) => [level, events]),
    [
      ["warn", undefined],
      ["info", 200],
    ],
  );
});

test("when Redis has reached maxmemory the older half of the events makes room for mail", async (t) => {
  const { redis, publisher, reader, lines } = await startEvents(t, { memoryCheckMs: Infinity });
  for (let index = 0; index < 2_000; index++) publisher.add({ event: "delivery.delivered", id: `M${index}` });
  await waitFor("the events", async () => (await reader.find("M1999", 10)).length === 1);
  await redis.command("CONFIG SET maxmemory 1000");
  publisher.add({ event: "delivery.delivered", id: "late" });
  const count = async (): Promise<number> => (await reader.after("0", 3_000)).length;
  await waitFor("room", async () => (await count()) <= 1_000 + packEvents);
  await redis.command("CONFIG SET maxmemory 0");
  await waitFor("the late one", async () => (await reader.find("late", 10)).length === 1);
  const line = lines.find(({ message }) => /nearly full: the older half/.test(String(message)));
  assert.ok(Math.abs(Number(line?.removed) - 1_000) <= packEvents, `${line?.removed} were removed`);
});

test("before Redis is full, the older half of the events goes", async (t) => {
  const { redis, publisher, reader, connection } = await startEvents(t, { memoryCheckMs: 0 });
  for (let index = 0; index < 2_000; index++) publisher.add({ event: "delivery.delivered", id: `M${index}` });
  await waitFor("the events", async () => (await reader.find("M1999", 10)).length === 1);
  const used = Number(/used_memory:(\d+)/.exec(await connection.info("memory"))?.[1]);
  await redis.command(`CONFIG SET maxmemory ${Math.round(used * 1.15)}`);
  publisher.add({ event: "delivery.delivered", id: "next" });
  await waitFor("the next one", async () => (await reader.find("next", 10)).length === 1);
  assert.ok((await reader.after("0", 3_000)).length <= 1_001 + packEvents);
});

test("pages begin and end within an entry of the stream, in both directions", async (t) => {
  const { publisher, reader, connection } = await startEvents(t);
  const all = Array.from({ length: 100 }, (_, index) => `M${index}`);
  for (const id of all) publisher.add({ event: "delivery.delivered", id });
  await waitFor("the last", async () => (await reader.find("M99", 10)).length === 1);
  assert.equal(await connection.xlen("{postern}:events"), Math.ceil(100 / packEvents));
  const forward: string[] = [];
  for (let place = "0"; ; ) {
    const events = await reader.after(place, 7);
    if (events.length === 0) break;
    for (const { id, eventId } of events) [place] = [eventId, forward.push(id ?? "")];
  }
  assert.deepEqual(forward, all);
  const backward: string[] = [];
  for (let place: string | undefined; ; ) {
    const events = await reader.before(place, 7);
    if (events.length === 0) break;
    for (const { id, eventId } of events) [place] = [eventId, backward.push(id ?? "")];
  }
  assert.deepEqual(backward, all.reverse());
  assert.equal((await reader.before(undefined, 1))[0]?.eventId, await reader.lastId());
});

test("batches of the same millisecond give no two events the same id", async (t) => {
  const { reader, connection } = await startEvents(t);
  const batches = Array.from({ length: 100 }, (_, number) => {
    const batch = new EventBatch();
    for (const place of [0, 1, 2]) {
      const fields = { event: "delivery.delivered", id: `${number}-${place}` } as const;
      batch.add(encodeEvent(fields, Date.now()), wordsOf(fields));
    }
    return batch;
  });
  const retention = { keepMs: 3_600_000, max: 1_000_000 };
  const keys = eventKeys("{postern}");
  await Promise.all(
    batches.map((batch) => appendEvents(connection, keys, batch, retention, newShardExpiries())),
  );
  const events = await reader.after("0", 1_000);
  assert.equal(events.length, 300);
  assert.equal(new Set(events.map(({ eventId }) => eventId)).size, 300);
  for (const { id, eventId } of events.slice(100, 130))
    assert.deepEqual(
      (await reader.find(id ?? "", 10)).map((event) => event.eventId),
      [eventId],
    );
});

test("events that an earlier version stored one by one are found, and go first", async (t) => {
  const { publisher, reader, connection } = await startEvents(t, { events: { keep: 3_600_000, max: 40 } });
  const nowMs = Date.now();
  for (let place = 0; place < 30; place++) {
    const { shard, text } = fingerprint(`old${place}`, 64);
    const event = { version: 1, at: nowMs, event: "delivery.delivered", id: `old${place}` };
    await connection.xadd("{postern}:events", `${nowMs - 1_000}-${place}`, "e", JSON.stringify(event));
    const words = `{postern}:events:words:${shard}`;
    await connection.del(words);
    await connection.xadd(words, `${nowMs - 1_000}-0`, "w", `${text}${encodeNumber(place, 2)}`);
  }
  const idsOf = async (): Promise<(string | undefined)[]> =>
    (await reader.after("0", 1_000)).map(({ id }) => id);
  assert.equal((await idsOf()).length, 30);
  assert.equal((await reader.find("old29", 10))[0]?.eventId, await reader.lastId());
  for (let index = 0; index < 16; index++) publisher.add({ event: "delivery.delivered", id: `new${index}` });
  await waitFor("the new ones", async () => (await idsOf()).includes("new15"));
  assert.deepEqual((await idsOf()).slice(0, 2), ["old6", "old7"]);
  assert.equal((await idsOf()).length, 40);
  for (let index = 16; index < 48; index++) publisher.add({ event: "delivery.delivered", id: `new${index}` });
  await waitFor("the newer ones", async () => (await idsOf()).includes("new47"));
  assert.equal((await idsOf())[0], "new0");
});

test("an index that is ahead of the stream is made anew", async (t) => {
  const { publisher, reader, connection } = await startEvents(t);
  publisher.add({ event: "delivery.delivered", id: "A" });
  await waitFor("the event", async () => (await reader.find("A", 10)).length === 1);
  const [key] = await connection.keys("{postern}:events:words:*");
  await connection.xadd(key ?? "", "9999999999999-0", "w", "");
  publisher.add({ event: "delivery.delivered", id: "A" });
  await waitFor("the second event", async () => (await reader.find("A", 10)).length > 0);
});

test("a session is classified in the stream once it has an event of mail; without one it is in the log only", async (t) => {
  const { publisher, reader } = await startEvents(t);
  const classified = { event: "session.classified", row: "relay", handler: "queue" } as const;
  publisher.add({ ...classified, session: "scanner" });
  publisher.add({ event: "session.close", session: "scanner" });
  publisher.add({ ...classified, session: "client" });
  publisher.add({ event: "message.accepted", session: "client", id: "A", to: ["bob@example.com"] });
  publisher.add({ event: "message.accepted", session: "client", id: "B", to: ["bob@example.com"] });
  await waitFor("the second message", async () => (await reader.find("B", 10)).length === 1);
  const events = await reader.after("0", 100);
  assert.deepEqual(
    events.map(({ event, session, id }) => [event, session, id]),
    [
      ["session.classified", "client", undefined],
      ["message.accepted", "client", "A"],
      ["message.accepted", "client", "B"],
    ],
  );
});

test("a trace has the notifications about a message and their fate, and the session's row", async (t) => {
  const { publisher, reader } = await startEvents(t);
  const [mail, dsn] = ["01KB9Q3XR00000000A", "01KB9Q3XS00000000B"];
  publisher.add({ event: "session.classified", session: "s", row: "relay" });
  publisher.add({ event: "message.accepted", session: "s", id: mail, from: "a@x", to: ["b@y", "c@y"] });
  publisher.add({ event: "delivery.delivered", id: mail, to: "b@y" });
  publisher.add({ event: "delivery.rejected", id: mail, to: "c@y", reply: "550 no" });
  publisher.add({ event: "dsn.made", id: mail, dsnId: dsn, to: "a@x" });
  publisher.add({ event: "delivery.delivered", id: dsn, to: "a@x" });
  publisher.add({ event: "message.settled", id: dsn });
  publisher.add({ event: "delivery.delivered", id: "01KB9Q3XT00000000C", to: "b@z" });
  await waitFor("the events", async () => (await reader.lastId()) !== "0-0");
  const names = async (text: string) =>
    (await findTrace(reader, parseWanted(text))).events.map(({ event, id }) => `${event} ${id ?? ""}`);
  const whole = [
    "session.classified ",
    `message.accepted ${mail}`,
    `delivery.delivered ${mail}`,
    `delivery.rejected ${mail}`,
    `dsn.made ${mail}`,
    `delivery.delivered ${dsn}`,
    `message.settled ${dsn}`,
  ];
  assert.deepEqual(await names(mail ?? ""), whole);
  assert.deepEqual(await names("C@Y"), whole);
  assert.deepEqual(await names(dsn ?? ""), [whole[4], whole[5], whole[6]]);
  assert.deepEqual(await names("nobody@y"), []);
});
