import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;

before(async () => {
  admin = await startTestAdmin({ limits: { message: "1KB" } });
});
after(() => admin?.close());

const mbox = [
  "From a@one.example Mon\nSubject: 1\n\n>From me\n",
  "From MAILER-DAEMON Mon\nX-Postern-From: <>\nX-Postern-To: <own@two.example>\nSubject: 2\n\nb\n",
  "From nobody Mon\nSubject: 3\n\nwithout a sender\n",
  `From c@one.example Mon\nSubject: 4\n\n${"too long ".repeat(200)}\n`,
].join("\n");

function send(query: Record<string, string>, body: string | Buffer = mbox, type = "application/mbox") {
  return fetch(`${admin.url}/api/v1/imports?${new URLSearchParams(query)}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": type },
    body,
  });
}

async function rows(): Promise<{ from: string; to: string[] }[]> {
  const { messages } = (await (await admin.get("/api/v1/messages")).json()) as {
    messages: { from: string; to: string[] }[];
  };
  return messages.map(({ from, to }) => ({ from, to })).sort((a, b) => (a.from < b.from ? -1 : 1));
}

interface Task {
  id: string;
  state: string;
  action: string;
  total: number;
  matched: number;
  changed: number;
  skipped: number;
  selection: object;
  reason: string | null;
}

async function ended({ id }: Task): Promise<Task> {
  return waitFor("the end of the task", async () => {
    const task = (await (await admin.get(`/api/v1/tasks/${id}`)).json()) as Task;
    return task.state !== "running" && task;
  });
}

test("a mailbox is counted and checked before anything is stored", async () => {
  const answer = await send({ to: "b@example.com", dryRun: "true" });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), {
    matched: 4,
    changed: 2,
    skipped: [
      { id: "message 3", reason: "does not say who sent it: give the sender" },
      { id: "message 4", reason: "The message has more than 1024 octets." },
    ],
    unknown: [],
    task: null,
  });
  const own = (await (await send({ dryRun: "true" })).json()) as {
    changed: number;
    skipped: { reason: string }[];
  };
  assert.equal(own.changed, 1, "the second one names its recipient");
  assert.equal(own.skipped[0]?.reason, "does not say whom it is for: give the recipients");
  assert.deepEqual(await rows(), []);
});

test("it is imported by a task, message by message, and the second time nothing is", async () => {
  const answer = await send({ name: "old.mbox", reason: "from the old server" });
  assert.equal(answer.status, 202);
  const started = (await answer.json()) as Task;
  assert.deepEqual([started.action, started.total], ["import", 4]);
  const done = await ended(started);
  assert.deepEqual([done.state, done.matched, done.changed, done.skipped], ["done", 4, 1, 3]);
  assert.deepEqual([done.selection, done.reason], [{ file: "old.mbox", messages: 4 }, "from the old server"]);
  assert.deepEqual(await rows(), [{ from: "", to: ["own@two.example"] }]);

  const all = { from: "x@one.example", to: "b@example.com, c@example.org" };
  assert.equal((await ended((await (await send(all)).json()) as Task)).changed, 3);
  const again = (await (await send(all)).json()) as Task;
  assert.equal((await ended(again)).changed, 0);
  const report = (await (await admin.get(`/api/v1/tasks/${again.id}/report`)).json()) as {
    skipped: { reason: string }[];
  };
  assert.equal(report.skipped.filter(({ reason }) => reason === "was imported before").length, 3);
  assert.equal((await rows()).filter(({ from }) => from === "x@one.example").length, 6, "two next hops each");
  const line = admin.log.find(({ event, action }) => event === "admin.change" && action === "import");
  assert.deepEqual([line?.file, line?.messages, line?.changed], ["old.mbox", 4, 1]);
});

test("what is no mailbox, too large, or comes without a token is refused in one sentence", async () => {
  const refusals = await Promise.all([
    send({}, ""),
    send({}, JSON.stringify({}), "application/json"),
    send({}, "Subject: x\n\ny\n", "text/plain"),
    send({ to: "nobody" }),
    send({}, Buffer.alloc(33 * 1024 * 1024, "x")),
  ]);
  assert.deepEqual(
    refusals.map(({ status }) => status),
    [400, 400, 415, 400, 413],
  );
  for (const refusal of refusals) {
    assert.match(refusal.headers.get("content-type") ?? "", /^application\/problem\+json/);
    assert.equal(typeof ((await refusal.json()) as { detail: string }).detail, "string");
  }
  const stranger = await fetch(`${admin.url}/api/v1/imports`, {
    method: "POST",
    headers: { "content-type": "application/mbox" },
    body: mbox,
  });
  assert.equal(stranger.status, 401);
  await stranger.body?.cancel();
});
