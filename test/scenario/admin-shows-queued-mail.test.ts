import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestAdmin, type TestAdmin } from "../support/admin.ts";

const columns = [
  "id",
  "messageId",
  "from",
  "to",
  "route",
  "queue",
  "status",
  "attempts",
  "nextAttemptAt",
  "receivedAt",
  "size",
  "reason",
];

let admin: TestAdmin;
before(async () => {
  admin = await startTestAdmin();
});
after(() => admin.close());

async function list(query = ""): Promise<Record<string, unknown>[]> {
  const answer = await admin.get(`/api/v1/messages${query}`);
  assert.equal(answer.status, 200);
  return ((await answer.json()) as { messages: Record<string, unknown>[] }).messages;
}

test("rows have the columns of the contract, one for each next hop", async () => {
  const { meta } = await admin.accept({
    from: "list@shop.example.org",
    to: [["b@example.com", "c@example.com"], ["d@example.org"]],
    messageId: "<first@example.net>",
  });
  const rows = await list();
  assert.deepEqual(
    rows.map(({ id }) => id),
    [`${meta.id}-0`, `${meta.id}-1`],
  );
  for (const row of rows) assert.deepEqual(Object.keys(row), columns);
  assert.deepEqual(rows[0], {
    id: `${meta.id}-0`,
    messageId: "<first@example.net>",
    from: "list@shop.example.org",
    to: ["b@example.com", "c@example.com"],
    route: "relay mx:example.com",
    queue: "delivery",
    status: "waiting",
    attempts: 0,
    nextAttemptAt: null,
    receivedAt: new Date(meta.receivedAtMs).toISOString(),
    size: meta.size,
    reason: null,
  });
});

test("a message must match all filters", async () => {
  await admin.defer("Greylisted, come back later");
  const old = await admin.accept({ receivedAtMs: Date.now() - 3 * 3_600_000, to: [["x@sub.example.com"]] });
  const dsn = await admin.accept({ from: "", route: "relay host:isp.example:587" });
  const ids = (rows: Record<string, unknown>[]) => rows.map(({ id }) => String(id)).sort();
  assert.equal((await list("?status=deferred")).length, 2);
  assert.equal((await list("?status=deferred&to=*@example.org")).length, 1);
  assert.equal((await list("?error=GREYLISTED")).length, 2);
  assert.equal((await list("?error=4.7.1&to=b@example.com")).length, 1);
  assert.deepEqual(ids(await list("?older=2h")), [`${old.meta.id}-0`]);
  assert.deepEqual(ids(await list(`?from=${encodeURIComponent("<>")}`)), [`${dsn.meta.id}-0`]);
  assert.deepEqual(ids(await list("?route=isp.example")), [`${dsn.meta.id}-0`]);
  assert.deepEqual(ids(await list(`?to=${encodeURIComponent("*@*.example.com")}`)), [`${old.meta.id}-0`]);
  assert.equal((await list(`?messageId=${encodeURIComponent("<first@example.net>")}`)).length, 2);
  assert.deepEqual(await list("?queue=dead"), []);
});

test("following the cursors shows every message once", async () => {
  const all = await list();
  const seen: unknown[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await admin.get(`/api/v1/messages?limit=1${query}`);
    const page = (await answer.json()) as { messages: { id: string }[]; next: string | null };
    assert.ok(page.messages.length <= 1);
    seen.push(...page.messages.map(({ id }) => id));
    cursor = page.next;
  } while (cursor !== null);
  assert.deepEqual(
    seen,
    all.map(({ id }) => id),
  );
});

test("wrong filters, limits and cursors are named", async () => {
  for (const [query, field] of [
    ["status=lost", "query.status"],
    ["older=yesterday", "query.older"],
    ["limit=0", "query.limit"],
    ["limit=1001", "query.limit"],
    ["limit=ten", "query.limit"],
    ["cursor=%2e%2e", "query.cursor"],
    ["cursor=0.99999999999999999999", "query.cursor"],
    ["queue=bounce", "query.queue"],
    ["to=", "query.to"],
    ["to=a&to=b", "query.to"],
    ["nonsense=1", "query"],
  ]) {
    const answer = await admin.get(`/api/v1/messages?${query}`);
    assert.equal(answer.status, 400, query);
    const { errors } = (await answer.json()) as { errors: { field: string }[] };
    assert.equal(errors[0]?.field, field, query);
  }
});

test("a message is shown whole by its queue id, its job's id and its Message-ID, without its body", async () => {
  const { meta } = await admin.accept({
    messageId: "<shown@example.net>",
    envelope: {
      body: "8BITMIME",
      envid: "E1",
      recipients: [{ address: "b@example.com", notify: ["DELAY"] }],
    },
    body: Buffer.from("Subject: hello\r\nX-Long: a\r\n b\r\n\r\nThe secret body.\r\n"),
  });
  await admin.defer("450 mailbox busy", { status: "4.2.1" });
  for (const id of [meta.id, `${meta.id}-0`, "<shown@example.net>"]) {
    const answer = await admin.get(`/api/v1/messages/${encodeURIComponent(id)}`);
    assert.equal(answer.status, 200, id);
    const text = await answer.text();
    assert.ok(!text.includes("secret body"));
    const shown = JSON.parse(text);
    assert.equal(shown.id, meta.id);
    assert.deepEqual(shown.envelope, { from: "a@example.net", body: "8BITMIME", envid: "E1" });
    assert.equal(shown.origin.client.address, "192.0.2.7");
    assert.equal(shown.headers, "Subject: hello\r\nX-Long: a\r\n b\r\n");
    const withoutToken = await admin.get(`/api/v1/messages/${encodeURIComponent(id)}`, {});
    assert.equal(
      ((await withoutToken.json()) as { headers: unknown }).headers,
      null,
      "from loopback, without a token",
    );
    assert.match(shown.received, /^Received: /);
    const [recipient] = shown.recipients;
    assert.equal(recipient.address, "b@example.com");
    assert.equal(recipient.state, "pending");
    assert.deepEqual(recipient.notify, ["DELAY"]);
    assert.equal(recipient.diagnosis.status, "4.2.1");
    assert.deepEqual(recipient.diagnosis.reply, {
      code: 450,
      enhanced: "4.2.1",
      lines: ["450 mailbox busy"],
      command: "RCPT",
    });
    const [job] = shown.jobs;
    assert.equal(job.id, `${meta.id}-0`);
    assert.equal(job.status, "deferred");
    assert.equal(job.attempts, 1);
    assert.ok(Date.parse(job.nextAttemptAt) > Date.now());
    assert.ok(job.lastAttemptAt !== null);
  }
});

test("a message that Redis has lost is still shown, from the spool", async () => {
  const { meta } = await admin.accept();
  await admin.inspector.remove({ ids: [meta.id] });
  const shown = (await (await admin.get(`/api/v1/messages/${meta.id}`)).json()) as Record<string, unknown[]>;
  assert.deepEqual(shown.jobs, []);
  assert.equal(shown.recipients?.length, 1);
});

test("several messages with the same Message-ID are listed by queue id", async () => {
  const first = await admin.accept({ messageId: "<twice@example.net>" });
  const second = await admin.accept({ messageId: "<twice@example.net>" });
  const answer = await admin.get(`/api/v1/messages/${encodeURIComponent("<twice@example.net>")}`);
  assert.equal(answer.status, 409);
  const { detail } = (await answer.json()) as { detail: string };
  assert.ok(detail.includes(first.meta.id) && detail.includes(second.meta.id));
});

test("unknown and hostile ids are not found", async () => {
  for (const id of [
    "0123456789ABCDEFGH",
    "0123456789ABCDEFGH-0",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%00",
    "a%0d%0aX-Injected:%201",
    "__proto__",
    "constructor",
    "%3C%3E",
    encodeURIComponent("<nobody@example.net>"),
    encodeURIComponent("{postern}:delivery:wait"),
    "*",
  ]) {
    for (const suffix of ["", "/raw"]) {
      const answer = await admin.get(`/api/v1/messages/${id}${suffix}`);
      assert.equal(answer.status, 404, id + suffix);
      assert.match(String(answer.headers.get("content-type")), /^application\/problem\+json/);
      assert.equal(answer.headers.get("x-injected"), null);
    }
  }
  assert.equal((await admin.get(`/api/v1/messages/${"x".repeat(1001)}`)).status, 414);
});

test("export gives the octets as they were received, and is logged", async () => {
  const body = Buffer.concat([
    Buffer.from("Subject: \xff\r\n\r\n.dots\r\n", "latin1"),
    Buffer.alloc(70_000, 0x80),
  ]);
  const { meta } = await admin.accept({ body });
  const answer = await admin.get(`/api/v1/messages/${meta.id}/raw`);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "message/rfc822");
  assert.equal(answer.headers.get("content-length"), String(body.length));
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(body));
  const line = admin.log.find(({ event }) => event === "admin.export");
  assert.equal(line?.id, meta.id);
  assert.deepEqual([line?.by, line?.client], ["admin", "127.0.0.1"]);
});

test("large bodies are streamed, and a HEAD opens nothing", async () => {
  const body = Buffer.alloc(3_000_000, "0123456789abcde\n");
  const { meta } = await admin.accept({ body });
  const path = `/api/v1/messages/${meta.id}/raw`;
  assert.ok(Buffer.from(await (await admin.get(path)).arrayBuffer()).equals(body));
  const head = await fetch(admin.url + path, {
    method: "HEAD",
    headers: { authorization: "Bearer test-token-of-the-admin" },
  });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), "3000000");
});

test("contents need the token, from loopback too", async () => {
  const { meta } = await admin.accept();
  assert.equal((await admin.get(`/api/v1/messages/${meta.id}`, {})).status, 200);
  assert.equal((await admin.get(`/api/v1/messages/${meta.id}/raw`, {})).status, 401);
  assert.equal(
    (await admin.get(`/api/v1/messages/${meta.id}/raw`, { authorization: "Bearer x" })).status,
    401,
  );
});

test("counts and services are shown", async () => {
  await admin.announce("delivery", { ready: false, reasons: ["starting"] });
  const { queues } = (await (await admin.get("/api/v1/queues")).json()) as {
    queues: { name: string; waiting: number }[];
  };
  assert.deepEqual(
    queues.map(({ name }) => name),
    ["delivery", "delivery-slow", "bounce", "dead"],
  );
  assert.equal(queues[0]?.waiting, (await list("?status=waiting")).length);
  let services: Record<string, unknown>[] = [];
  for (let tries = 0; tries < 200 && services.length === 0; tries++) {
    services = ((await (await admin.get("/api/v1/services")).json()) as { services: typeof services })
      .services;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(services[0]?.name, "delivery");
  assert.deepEqual(services[0]?.reasons, ["starting"]);
});

test("a sorted list goes on where its page ended, and takes no cursor of another list", async () => {
  const nowMs = Date.now();
  const ids: string[] = [];
  for (let hours = 1; hours <= 5; hours++) {
    const to = [["sorted@example.com"]];
    ids.unshift(`${(await admin.accept({ to, receivedAtMs: nowMs - hours * 3_600_000 })).meta.id}-0`);
  }
  for (const sort of ["oldest", "attempts"]) {
    const seen: string[] = [];
    let cursor = "";
    do {
      const answer = await admin.get(`/api/v1/messages?to=sorted@example.com&sort=${sort}&limit=2${cursor}`);
      const page = (await answer.json()) as { messages: { id: string }[]; next: string | null };
      seen.push(...page.messages.map(({ id }) => id));
      cursor = page.next === null ? "" : `&cursor=${encodeURIComponent(page.next)}`;
    } while (cursor !== "");
    assert.deepEqual(seen, ids, sort);
  }
  const foreign = await admin.get("/api/v1/messages?sort=oldest&cursor=2.100");
  assert.equal(foreign.status, 400);
});
