/** The admin's API of events: timelines, the latest events, and the live feed. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createEventPublisher, type EventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

type Event = Record<string, unknown> & { at: string; event: string; eventId: string; text: string };
interface Page {
  events: Event[];
  next: string | null;
}
interface Trace {
  messages: string[];
  more: number;
  events: Event[];
  queued: { id: string; status: string }[];
}

let admin: TestAdmin;
let publisher: EventPublisher;
before(async () => {
  admin = await startTestAdmin();
  publisher = createEventPublisher({
    redis: { url: admin.redis.url },
    log: createLogger("test", { write() {} }),
    events: { keep: 3_600_000, max: 10_000 },
    intervalMs: 5,
  });
});
after(async () => {
  await publisher.close();
  await admin.close();
});

async function get<T>(pathname: string): Promise<T> {
  const response = await admin.get(pathname);
  assert.equal(response.status, 200, `${pathname}: ${await response.clone().text()}`);
  return (await response.json()) as T;
}

const trace = (q: string, more = ""): Promise<Trace> =>
  waitFor(`a trace of ${q}`, async () => {
    const response = await admin.get(`/api/v1/trace?q=${encodeURIComponent(q)}${more}`);
    return response.status === 200 && ((await response.json()) as Trace);
  });

/** Waits until this is in the stream. */
async function published(id: string): Promise<void> {
  await waitFor(`the events of ${id}`, async () => {
    const { events } = await get<Page>(`/api/v1/events?search=${id}`);
    return events.length > 0;
  });
}

test("what operators do to a message is in its timeline, with who and why, and so is where it is now", async () => {
  const { meta } = await admin.accept({ from: "op@sender.example", to: [["bob@example.com"]] });
  const ids = [meta.id];
  await admin.post("/api/v1/messages/hold", { ids, reason: "looks odd" });
  await admin.post("/api/v1/messages/release", { ids });
  await admin.defer("mailbox full");
  await admin.post("/api/v1/messages/retry", { ids });
  const found = await waitFor("all four", async () => {
    const timeline = await trace(meta.id);
    return timeline.events.length === 3 && timeline;
  });
  assert.deepEqual(
    found.events.map(({ event, label, text }) => [event, label, text]),
    [
      ["message.held", "held", "by admin: looks odd"],
      ["message.released", "released", "by admin"],
      ["message.retried", "retried", "by admin"],
    ],
  );
  assert.deepEqual(
    found.queued.map(({ id, status }) => [id, status]),
    [[`${meta.id}-0`, "deferred"]],
  );
  // The log says the same.
  const logged = admin.log.filter(({ event }) => String(event).startsWith("message."));
  assert.deepEqual(
    logged.map(({ event, by, ids: of }) => [event, by, of]),
    found.events.map(({ event, by, ids: of }) => [event, by, of]),
  );

  await admin.post("/api/v1/messages/remove", { ids });
  const removed = await waitFor("the removal", async () => {
    const timeline = await trace(meta.id);
    return timeline.events.length === 5 && timeline;
  });
  assert.deepEqual(
    removed.events
      .slice(3)
      .map(({ event }) => event)
      .sort(),
    ["message.removed", "message.settled"],
  );
  assert.deepEqual(removed.queued, []);
});

test("an address has the timelines of its latest messages, and says how many more there are", async () => {
  for (let index = 0; index < 4; index++) {
    const id = `01KB9Q3XR${String(index).padStart(9, "0")}`;
    publisher.add({
      event: "message.accepted",
      id,
      from: "a@many.example",
      to: ["b@many.example"],
      rows: ["relay"],
    });
    publisher.add({ event: "message.settled", id, delayMs: 3 });
  }
  await published("01KB9Q3XR000000003");
  const found = await trace("B@many.example", "&limit=2");
  assert.deepEqual([found.messages, found.more], [["01KB9Q3XR000000002", "01KB9Q3XR000000003"], 2]);
  assert.equal(found.events.length, 4);
  assert.match(String(found.events[0]?.at), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test("a proxied transaction is found by its addresses, with the server's reply", async () => {
  publisher.add({
    event: "proxy.transaction",
    session: "prox-1",
    client: "192.0.2.7",
    server: "198.51.100.1:25",
    reversePath: "a@proxied.example",
    accepted: { count: 1, addresses: ["b@proxied.example"] },
    refused: { count: 1, recipients: [{ address: "c@proxied.example", reply: "550 5.1.1 unknown" }] },
    octets: 120,
    result: "accepted",
    reply: "250 2.0.0 kept as 4711",
  });
  await published("prox-1");
  for (const address of ["a@proxied.example", "b@proxied.example", "c@proxied.example"]) {
    const { messages, events } = await trace(address);
    assert.deepEqual(messages, []);
    assert.deepEqual(
      [events[0]?.id, events[0]?.text],
      [
        "prox-1",
        "192.0.2.7 to 198.51.100.1:25: accepted, from a@proxied.example, to b@proxied.example, refused c@proxied.example (550 5.1.1 unknown), 120 octets, 250 2.0.0 kept as 4711",
      ],
    );
  }
});

test("what nobody knows is 404 in one sentence; a question too few or too many is 400", async () => {
  const unknown = await admin.get("/api/v1/trace?q=nobody@nowhere.example");
  assert.equal(unknown.status, 404);
  assert.match(
    ((await unknown.json()) as { detail: string }).detail,
    /^No event names nobody@nowhere\.example;/,
  );
  for (const query of ["", "?q=", "?q=x&limit=0", "?q=x&other=1", `?q=${"x".repeat(1001)}`])
    assert.equal((await admin.get(`/api/v1/trace${query}`)).status, 400, query);
  assert.equal((await admin.get("/api/v1/events?since=x")).status, 400);
});

test("the latest events come first, page by page, by name and by a part of their text", async () => {
  for (let index = 0; index < 5; index++)
    publisher.add({ event: index % 2 ? "delivery.deferred" : "delivery.delivered", id: `page-${index}` });
  await published("page-4");
  const ids = ({ events }: Page): unknown[] => events.map(({ id }) => id);
  const first = await get<Page>("/api/v1/events?search=PAGE-&limit=2");
  assert.deepEqual(ids(first), ["page-4", "page-3"]);
  const rest = await get<Page>(`/api/v1/events?search=page-&before=${first.next}`);
  assert.deepEqual(ids(rest), ["page-2", "page-1", "page-0"]);
  assert.equal(rest.next, null);
  assert.deepEqual(ids(await get<Page>("/api/v1/events?search=page-&event=delivery.deferred")), [
    "page-3",
    "page-1",
  ]);
  assert.equal(
    (await get<Page>("/api/v1/events?search=page-&event=delivery,proxy.transaction")).events.length,
    5,
  );
  assert.equal((await get<Page>("/api/v1/events?search=page-&within=1h")).events.length, 5);
  const oldest = rest.events.at(-1)?.eventId;
  const since = await get<Page>(`/api/v1/events?search=page-&since=${oldest}&limit=2`);
  assert.deepEqual(ids(since), ["page-1", "page-2"]);
});

/** Reads the feed until it has so many events. */
async function readFeed(
  query: string,
  count: number,
  headers: Record<string, string> = {},
): Promise<string[]> {
  const end = new AbortController();
  const response = await fetch(`${admin.url}/api/v1/events/stream${query}`, { headers, signal: end.signal });
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(response.headers.get("x-content-type-options"), "nosniff");
  let text = "";
  const messages = (): string[] => text.split("\n\n").filter((part) => part.startsWith("id: "));
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (text.startsWith("event: ready") && messages().length === 0 && count === 0) break;
    if (messages().length >= count && count > 0) break;
  }
  end.abort();
  return messages();
}

test("the live feed sends events as they happen, and those that a client missed", async () => {
  const { events } = await get<Page>("/api/v1/events?limit=1");
  const last = events[0]?.eventId ?? "";
  const reading = readFeed("?search=live-", 2);
  publisher.add({ event: "delivery.delivered", id: "other" });
  // The client may connect after the first of them: a third ends the wait.
  await published("other");
  const adding = setInterval(() => publisher.add({ event: "delivery.delivered", id: "live-1" }), 50);
  const messages = await reading.finally(() => clearInterval(adding));
  const [, id, json] = /^id: (\S+)\ndata: (.*)$/.exec(messages[0] ?? "") ?? [];
  const event = JSON.parse(json ?? "") as Event;
  assert.deepEqual([event.id, event.eventId, event.event], ["live-1", id, "delivery.delivered"]);

  const missed = await readFeed("?search=live-", 2, { "last-event-id": last });
  assert.equal(missed[0], messages[0]);
  assert.equal((await readFeed(`?search=live-&since=${last}`, 1))[0], messages[0]);
});

test("the feed takes a bounded number of clients, and a place is free when one leaves", async () => {
  const ends: AbortController[] = [];
  const connect = async (): Promise<number> => {
    const end = new AbortController();
    const { status, body } = await fetch(`${admin.url}/api/v1/events/stream`, { signal: end.signal });
    if (status === 200) ends.push(end);
    else await body?.cancel();
    return status;
  };
  for (let index = 0; index < 50; index++) assert.equal(await connect(), 200);
  assert.equal(await connect(), 503);
  ends.pop()?.abort();
  await waitFor("a free place", async () => (await connect()) === 200);
  for (const end of ends) end.abort();
});

test("the feed ends with the admin", async () => {
  const own = await startTestAdmin();
  const response = await fetch(`${own.url}/api/v1/events/stream`);
  const reader = response.body?.getReader();
  await reader?.read();
  await own.close();
  for (;;) if ((await reader?.read())?.done !== false) break;
});
