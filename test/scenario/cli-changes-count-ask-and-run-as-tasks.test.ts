import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { type Ended, runCommand } from "../support/cli-terminal.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;
let directory: string;
let configFile: string;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "cli-changes-"));
  configFile = path.join(directory, "postern.yaml");
});
after(() => rm(directory, { recursive: true }));
beforeEach(async () => {
  admin = await startTestAdmin();
  await writeFile(
    configFile,
    `hostname: gw.example.net
data: ${directory}/data
listeners: [{ name: submission, address: 127.0.0.1, port: 0 }]
admin: { port: ${new URL(admin.url).port}, token: ${token} }
`,
  );
});
afterEach(() => admin.close());

const postern = (...words: string[]): Promise<Ended> => runCommand(configFile, words);
const atTerminal = (typed: string, ...words: string[]): Promise<Ended> =>
  runCommand(configFile, words, typed);

async function statuses(): Promise<string[]> {
  const rows = JSON.parse((await postern("queue", "list", "--json")).out) as { status: string }[];
  return rows.map(({ status }) => status);
}

interface Hold {
  id: string;
  until: string | null;
  reason: string;
  waiting: number;
  since: string;
}
async function holds(): Promise<Hold[]> {
  return JSON.parse((await postern("holds", "--json")).out) as Hold[];
}

test("at a terminal a change of several messages shows how many, and needs a yes", async () => {
  await admin.accept();
  await admin.accept();
  const no = await atTerminal("n", "queue", "remove", "--all");
  assert.deepEqual(no, { status: 1, out: "", err: "Remove 2 messages? [y/N] nothing was changed\n" });
  assert.deepEqual(await statuses(), ["waiting", "waiting"]);
  assert.equal((await atTerminal("", "queue", "hold", "--all")).status, 1);
  assert.deepEqual(await holds(), []);

  const held = await atTerminal("y", "queue", "hold", "--from", "a@example.net", "--reason", "odd");
  assert.equal(
    held.err,
    "Hold 2 messages, and those that come later by the rule sender:a@example.net? [y/N] ",
  );
  assert.match(held.out, /^held 2 of 2\n/);
  const yes = await atTerminal("never read", "queue", "remove", "--all", "--yes");
  assert.deepEqual(yes, { status: 0, out: "removed 2 of 2\n", err: "" });
});

test("nobody is asked without a terminal, nor for one message, unless it is to be removed", async () => {
  const { meta } = await admin.accept();
  assert.equal((await postern("queue", "hold", "--all")).err, "");
  const one = await atTerminal("n", "queue", "release", meta.id);
  assert.equal(one.err, "");
  const removed = await atTerminal("n", "queue", "remove", meta.id);
  assert.match(removed.err, /^Remove 1 message\? /);
});

test("--dry-run counts, asks nobody and changes nothing; exit status 1 where nothing matches", async () => {
  await admin.accept();
  for (const [action, line] of [
    ["remove", "would remove 1 of 1\n"],
    ["hold", "would hold 1 of 1\nmessages that come later would be held too, by the rule all:\n"],
    ["put-back", /^would requeue 0 of 1\n.* is not dead\n$/],
  ] as const) {
    const { status, out, err } = await atTerminal("n", "queue", action, "--all", "--dry-run");
    assert.deepEqual([status, err], [0, ""]);
    if (typeof line === "string") assert.equal(out, line);
    else assert.match(out, line);
  }
  assert.equal((await postern("queue", "retry", "--to", "*@nowhere.example", "--dry-run")).status, 1);
  assert.deepEqual(await statuses(), ["waiting"]);
  assert.equal(JSON.parse((await postern("tasks", "list", "--json")).out).length, 0);
});

test("a change is a task with its reason, which tasks list and tasks show find", async () => {
  await admin.accept();
  const report = JSON.parse((await postern("queue", "remove", "--all", "--reason", "spam", "--json")).out);
  assert.deepEqual([report.changed, typeof report.task], [1, "string"]);
  const list = await postern("tasks", "list");
  assert.equal(list.status, 0);
  assert.match(
    list.out,
    /^TASK +STATE +ACTION +AGE +CHANGED +BY +MESSAGES +REASON\n.*done +remove .* --all +spam\n$/,
  );
  const shown = await postern("tasks", "show", report.task);
  for (const text of ["remove --all", "Reason:    spam", "State:     done", "1 of 1 looked at, 1 changed"])
    assert.ok(shown.out.includes(text), `${text}\n${shown.out}`);
  assert.deepEqual(await postern("tasks", "show", "t0"), {
    status: 1,
    out: "",
    err: "postern: there is no task t0\n",
  });
  const cancelled = await postern("tasks", "cancel", report.task);
  assert.deepEqual([cancelled.status, cancelled.err], [1, `postern: The task ${report.task} is done.\n`]);
  assert.equal((await postern("tasks", "list", "--running")).status, 1);
  assert.ok(
    admin.log.some(
      ({ event, reason, task }) => event === "admin.change" && reason === "spam" && task === report.task,
    ),
  );
});

test("Ctrl-C leaves the change running, and says how to follow and how to cancel it", async (t) => {
  await admin.accept();
  const release = Promise.withResolvers<void>();
  const { settle } = admin.spool;
  t.mock.method(admin.spool, "settle", async (...given: Parameters<typeof settle>) => {
    await release.promise;
    return settle.apply(admin.spool, given);
  });
  const running = postern("queue", "remove", "--all", "--yes");
  const started = await waitFor("the task", async () => {
    const tasks = JSON.parse((await postern("tasks", "list", "--running", "--json")).out) as { id: string }[];
    return tasks[0];
  });
  await waitFor("the command to wait for it", () => process.listenerCount("SIGINT") > 0);
  process.emit("SIGINT");
  assert.deepEqual(await running, {
    status: 1,
    out: "",
    err: `the task ${started.id} goes on: 'postern tasks show ${started.id}', 'postern tasks cancel ${started.id}'\n`,
  });
  release.resolve();
  await waitFor("its end", async () => (await postern("tasks", "show", started.id)).out.includes("done"));
  assert.deepEqual(await statuses(), []);
});

test("holds say who, why, since and until when, and how many wait; release --hold ends one", async () => {
  for (const to of ["b@example.com", "c@example.com", "d@example.org"]) await admin.accept({ to: [[to]] });
  assert.equal((await postern("holds")).out, "no holds\n");
  await postern("queue", "hold", "--to", "*@example.com", "--reason", "their server moves", "--until", "2h");
  await postern("queue", "hold", "--all", "--reason", "everything");
  const listed = await holds();
  assert.equal(Object.keys(listed[0] ?? {}).join(), "id,kind,value,reason,by,since,until,waiting");
  const byId = new Map(listed.map((hold) => [hold.id, hold]));
  const domain = byId.get("destination:example.com");
  assert.deepEqual(
    { ...domain, since: "", until: "" },
    {
      id: "destination:example.com",
      kind: "destination",
      value: "example.com",
      reason: "their server moves",
      by: "admin",
      since: "",
      until: "",
      waiting: 2,
    },
  );
  assert.equal(byId.get("all:")?.waiting, 3);
  const table = (await postern("holds")).out;
  assert.match(
    table,
    /^HOLD +WAITING +SINCE +ENDS IN +BY +REASON\ndestination:example\.com +2 .* 1h 5\dm +admin +their server moves\n/,
  );
  for (const line of table.split("\n")) assert.ok(line.length <= 80, line);

  const dry = await postern("queue", "release", "--hold", "destination:example.com", "--dry-run");
  assert.equal(dry.out, "would release 2 messages\n");
  assert.equal(
    (await postern("queue", "release", "--hold", "all:")).out,
    "released 1; 2 are held by other holds\n",
  );
  const last = await atTerminal(
    "y",
    "queue",
    "release",
    "--hold",
    "destination:example.com",
    "--reason",
    "done",
  );
  assert.deepEqual([last.err, last.out], ["Release 2 messages? [y/N] ", "released 2\n"]);
  assert.ok(admin.log.some(({ event, reason }) => event === "admin.unhold" && reason === "done"));
  const gone = await postern("queue", "release", "--hold", "all:");
  assert.deepEqual([gone.status, gone.err], [1, "postern: there is no hold 'all:': see 'postern holds'\n"]);
  assert.equal((await postern("queue", "release", "--hold", "all:", "--all")).status, 2);
});

test("a hold that stands is changed with --replace only, and keeps what is not given", async () => {
  await postern("queue", "hold", "--to", "*@example.com", "--reason", "moves", "--until", "2h");
  const [before] = await holds();
  const again = await postern("queue", "hold", "--to", "*@example.com", "--reason", "other");
  assert.equal(again.status, 1);
  assert.match(
    again.err,
    /^postern: The hold destination:example\.com stands since \S+ by admin \(moves\) until \S+; replace/,
  );
  assert.deepEqual(await holds(), [before]);
  assert.equal(
    (await postern("queue", "hold", "--to", "*@example.com", "--replace", "--reason", "other")).status,
    0,
  );
  assert.deepEqual(await holds(), [{ ...before, reason: "other" }]);
  await postern("queue", "hold", "--to", "*@example.com", "--replace", "--until", "never");
  assert.deepEqual(await holds(), [{ ...before, reason: "other", until: null }]);

  const { meta } = await admin.accept({ to: [["x@example.org"]] });
  await postern("queue", "hold", meta.id, "--reason", "first");
  const second = await postern("queue", "hold", meta.id, "--reason", "second");
  assert.match(second.out, /^held 0 of 1\n\S+ is held already: first\n$/);
  const api = await admin.post("/api/v1/holds", { kind: "destination", value: "example.com" });
  assert.equal(api.status, 409);
});

test("a hold of what does not exist is refused, one of mail that is not in the queues yet is not", async () => {
  for (const body of [
    { kind: "message", value: "0123456789ABCDEFGH" },
    { kind: "sender", value: "two.example" },
    { kind: "destination", value: "smarthots" },
  ]) {
    const answer = await admin.post("/api/v1/holds", body);
    assert.ok([400, 404].includes(answer.status), `${JSON.stringify(body)} ${answer.status}`);
  }
  assert.equal((await postern("queue", "hold", "0123456789ABCDEFGH")).status, 1);
  assert.deepEqual(await holds(), []);

  const { meta } = await admin.accept();
  await admin.inspector.remove({ ids: [meta.id] });
  const early = await postern("queue", "hold", meta.id);
  assert.deepEqual([early.status, early.out], [0, "held 1 of 1\n"]);
  assert.equal((await holds())[0]?.id, `message:${meta.id}`);
});

test("retry of held mail says how to release it", async () => {
  const { meta } = await admin.accept({ to: [["b@example.com"]] });
  await postern("queue", "hold", "--to", "*@example.com");
  const { out, err } = await postern("queue", "retry", meta.id);
  assert.equal(out, `retrying 0 of 1\n${meta.id}-0 is held by destination:example.com: release it first\n`);
  assert.equal(
    err,
    "held mail is not retried; to release it: postern queue release --hold destination:example.com\n",
  );
});
