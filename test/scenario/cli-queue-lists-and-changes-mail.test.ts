import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { commands } from "../../services/cli/commands.ts";
import { dispatch } from "../../services/cli/dispatch.ts";
import { createEventPublisher } from "../../shared/events/stream/event-publisher.ts";
import { startHealthServer } from "../../shared/runtime/health-server.ts";
import { createLogger, logEvent, withEventSink } from "../../shared/runtime/log.ts";
import { createMetrics } from "../../shared/runtime/metrics.ts";
import { startTestAdmin, type TestAdmin, token } from "../support/admin.ts";
import { waitFor } from "../support/wait-for.ts";

let admin: TestAdmin;
let directory: string;
let configFile: string;

before(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "cli-queue-"));
});
after(() => rm(directory, { recursive: true }));
beforeEach(async () => {
  admin = await startTestAdmin();
  configFile = path.join(directory, "postern.yaml");
  await writeConfig({});
});
afterEach(() => admin.close());

async function writeConfig({
  port = new URL(admin.url).port,
  withToken = true,
  redis = false,
}): Promise<void> {
  await writeFile(
    configFile,
    `hostname: gw.example.net
data: ${directory}/data
${redis ? `redis: { url: "${admin.redis.url}" }` : ""}
listeners: [{ name: submission, address: 127.0.0.1, port: 0 }]
admin: { port: ${port}${withToken ? `, token: ${token}` : ""} }
`,
  );
}

interface Ended {
  status: number;
  out: string;
  err: string;
}

async function postern(...words: string[]): Promise<Ended> {
  return posternIn(undefined, ...words);
}

async function posternIn(columns: number | undefined, ...words: string[]): Promise<Ended> {
  return posternOn({ columns }, ...words);
}

async function posternOn(
  terminal: { columns?: number | undefined; hasColors?: () => boolean },
  ...words: string[]
): Promise<Ended> {
  const ended = { status: 0, out: "", err: "" };
  ended.status = await dispatch({ commands, version: "0" }, ["-c", configFile, ...words], {
    stdin: process.stdin,
    stdout: { ...terminal, write: (text) => (ended.out += text) },
    stderr: { write: (text) => (ended.err += text) },
  });
  return ended;
}

async function statuses(): Promise<Map<string, string>> {
  const rows = JSON.parse((await postern("queue", "list", "--json")).out) as { id: string; status: string }[];
  return new Map(rows.map(({ id, status }) => [id, status]));
}

test("list --json is one array of all rows that match, with the columns of the contract", async () => {
  assert.deepEqual(await postern("queue", "list", "--json"), { status: 0, out: "[]\n", err: "" });
  const ids: string[] = [];
  for (let n = 0; n < 3; n++) ids.push(`${(await admin.accept({ to: [["b@example.com"]] })).meta.id}-0`);
  await admin.accept({ to: [["c@example.org"]] });
  const { status, out } = await postern("queue", "list", "--json", "--to", "*@example.com");
  assert.equal(status, 0);
  const rows = JSON.parse(out) as Record<string, unknown>[];
  assert.deepEqual(
    rows.map(({ id }) => id),
    ids,
  );
  assert.equal(
    Object.keys(rows[0] ?? {}).join(),
    "id,messageId,from,to,route,queue,status,attempts,nextAttemptAt,receivedAt,size,reason",
  );
  assert.equal(JSON.parse((await postern("queue", "list", "--json", "--limit", "2")).out).length, 2);
});

test("more rows than a page holds are all listed", async () => {
  for (let accepted = 0; accepted < 1100; accepted += 100) {
    await Promise.all(Array.from({ length: 100 }, () => admin.accept()));
  }
  const rows = JSON.parse((await postern("queue", "list", "--json")).out) as { id: string }[];
  assert.equal(new Set(rows.map(({ id }) => id)).size, 1100);
});

test("the table fits terminals of 80 to 200 columns and keeps ids whole", async () => {
  const { meta } = await admin.accept({
    from: "a.very.long.local.part.indeed@mail.example.net",
    to: [["b@example.com", "c@example.com", "d@example.com"]],
  });
  await admin.defer(`450 4.7.1 greylisted \u001b[31m ${"and so on ".repeat(20)}`);
  for (const columns of [80, 120, 200]) {
    const { out, status } = await posternIn(columns, "queue", "list");
    assert.equal(status, 0);
    const lines = out.trimEnd().split("\n");
    for (const line of lines) assert.ok(line.length <= columns, `${columns}: ${line}`);
    assert.match(lines[0] ?? "", /^ID +STATUS +AGE +TRIES +NEXT +FROM +TO/);
    // Where the table would leave it a few letters, the reason has a line of its own.
    const reason = columns === 80 ? lines[2] : lines[1];
    assert.match(reason ?? "", columns === 80 ? /^ {2}450 4\.7\.1 greylisted .* and/ : / 450 4\.7\.1 grey/);
    assert.equal(lines.length, columns === 80 ? 5 : 4);
    assert.ok(lines[1]?.startsWith(`${meta.id}-0  deferred`));
    assert.ok(!out.includes("\u001b"));
    assert.equal(lines.at(-1), "1 message: 1 deferred");
  }
  assert.match(
    (await posternIn(200, "queue", "list")).out,
    /b@example\.com \+2 +450 4\.7\.1 greylisted \\u001b/,
  );
  assert.deepEqual(await postern("queue", "list", "--status", "dead"), {
    status: 1,
    out: "no message matches; in the queues: 1 message: 1 deferred\n",
    err: "",
  });
});

test("of several recipients the list shows the one that is asked for, or that the reason is about", async () => {
  await admin.accept({ to: [["ann@example.com", "bob@example.com", "cy@example.com"]] });
  await admin.defer("mx.example.com [203.0.113.25] said: 452 4.2.2 <bob@example.com> mailbox full");
  assert.match((await posternIn(200, "queue", "list")).out, / bob@example\.com \+2 +452 4\.2\.2 <bob/);
  for (const words of [
    ["--to", "cy@*"],
    ["--search", "cy@"],
  ])
    assert.match((await posternIn(200, "queue", "list", ...words)).out, / cy@example\.com \+2 /);
  assert.match((await posternIn(80, "queue", "list")).out, / 452 4\.2\.2/);
  const { out } = await posternIn(80, "queue", "show", "--all");
  for (const line of out.split("\n")) assert.ok(line.length <= 80, line);
  assert.match(out, /To: +<bob@example\.com> pending\n +4\.7\.1 at \S+\n +mx\.example\.com/);
});

test("statuses have colours on a terminal that has them, and columns stay where they are", async () => {
  await admin.accept();
  await postern("queue", "hold", "--all");
  const coloured = await posternOn({ columns: 100, hasColors: () => true }, "queue", "list");
  assert.ok(coloured.out.includes("\u001b[33mheld"), coloured.out);
  const plain = await posternIn(100, "queue", "list");
  assert.equal(stripVTControlCharacters(coloured.out), plain.out);
});

test("a list says how many messages there are in all, not only how many it shows", async () => {
  assert.equal((await postern("queue", "list")).out, "no messages\n");
  for (let n = 0; n < 3; n++) await admin.accept();
  await admin.accept({ to: [["c@example.org"]] });
  await postern("queue", "hold", "--to", "*@example.org");
  const lastLine = async (...words: string[]) =>
    (await postern("queue", "list", ...words)).out.trimEnd().split("\n").at(-1);
  assert.equal(await lastLine(), "4 messages: 3 waiting, 1 held");
  assert.equal(await lastLine("--limit", "2"), "the first 2; in the queues: 4 messages: 3 waiting, 1 held");
  assert.equal(
    await lastLine("--status", "waiting", "--limit", "2"),
    "the first 2; matching: 3 messages: 3 waiting; in the queues: 4 messages: 3 waiting, 1 held",
  );
  assert.equal(
    await lastLine("--status", "waiting", "--sort", "oldest", "--limit", "3"),
    "matching: 3 messages: 3 waiting; in the queues: 4 messages: 3 waiting, 1 held",
  );
  assert.equal(
    await lastLine("--to", "*@example.org"),
    "matching: 1 message: 1 held; in the queues: 4 messages: 3 waiting, 1 held",
  );
});

test("a cut list says at least how many match when the admin cannot count them yet", async () => {
  await admin.accept();
  const { messages } = (await (await admin.get("/api/v1/messages")).json()) as { messages: unknown[] };
  const queues = await (await admin.get("/api/v1/queues")).text();
  const busy = createServer(({ url = "" }, response) => {
    const isList = url.startsWith("/api/v1/messages");
    response.end(isList ? JSON.stringify({ messages, next: "0.1", totals: null }) : queues);
  });
  busy.listen(0, "127.0.0.1");
  await once(busy, "listening");
  try {
    const { port } = busy.address() as { port: number };
    const words = ["--status", "waiting", "--limit", "1", "--url", `http://127.0.0.1:${port}`];
    const { out } = await postern("queue", "list", ...words);
    const expected = "the first 1; matching: at least 1 message; in the queues: 1 message: 1 waiting";
    assert.equal(out.trimEnd().split("\n").at(-1), expected);
  } finally {
    busy.close();
  }
});

test("a filter that can match nothing is wrong use, with the pattern that was meant", async () => {
  await admin.accept({ to: [["b@two.example"]] });
  for (const words of [
    ["list", "--to", "two.example"],
    ["list", "--from", "@two.example"],
    ["remove", "--to", "two.example"],
  ]) {
    const ended = await postern("queue", ...words);
    assert.deepEqual([ended.status, ended.out], [2, ""]);
    assert.match(
      ended.err,
      /^postern queue \w+ needs an address or a pattern for --\w+: '@?two\.example' is no address; '\*@two\.example' is all mail of a domain; see .*\n$/,
    );
  }
  const answer = await admin.get("/api/v1/messages?to=two.example");
  assert.equal(answer.status, 400);
  assert.match(await answer.text(), /'\*@two\.example' is all mail of a domain/);
  for (const pattern of ["postmaster", "<>", "*", "x*"])
    assert.notEqual((await postern("queue", "list", "--from", pattern)).status, 2, pattern);
});

test("list sorts, by the admin for the first rows and by itself for all of them", async () => {
  const nowMs = Date.now();
  const ids: string[] = [];
  for (const [ageMs, octets] of [
    [3_600_000, 10],
    [60_000, 3_000],
    [7_200_000, 500],
  ] as const) {
    const body = Buffer.from(`Subject: x\r\n\r\n${"x".repeat(octets)}`);
    ids.push((await admin.accept({ receivedAtMs: nowMs - ageMs, body })).meta.id);
  }
  const [hour, minute, twoHours] = ids;
  const order = async (...words: string[]) => {
    const { out } = await postern("queue", "list", "--json", ...words);
    return (JSON.parse(out) as { id: string }[]).map(({ id }) => id.replace(/-0$/, ""));
  };
  for (const [sort, expected] of [
    ["oldest", [twoHours, hour, minute]],
    ["newest", [minute, hour, twoHours]],
    ["largest", [minute, twoHours, hour]],
  ] as const) {
    assert.deepEqual(await order("--sort", sort), expected, sort);
    assert.deepEqual(await order("--sort", sort, "--limit", "2"), expected.slice(0, 2), sort);
  }
  await postern("queue", "hold", `${hour}`);
  assert.equal((await order("--sort", "next", "--limit", "3")).at(-1), hour);
  assert.equal((await postern("queue", "list", "--sort", "size")).status, 2);
});

test("list finds a part of an address, of the Message-ID, of an id and of a reason", async () => {
  const { meta } = await admin.accept({ to: [["carol@Shop.example"]], messageId: "<4711@mail.example>" });
  await admin.defer("mailbox of carol is full");
  await admin.accept({ to: [["dave@example.org"]] });
  for (const text of ["arol@shop", "4711", meta.id.slice(3, 12), "MAILBOX OF"]) {
    const { status, out } = await postern("queue", "list", "--json", "--search", text);
    assert.deepEqual(
      [status, (JSON.parse(out) as { id: string }[]).map(({ id }) => id)],
      [0, [`${meta.id}-0`]],
    );
  }
  const nothing = await postern("queue", "list", "--json", "--search", "nobody");
  assert.deepEqual([nothing.status, nothing.out], [1, "[]\n"]);
  assert.equal((await postern("queue", "remove", "--search", "nobody")).status, 1);
});

test("a table is written page by page, and its columns keep their widths", async () => {
  for (let accepted = 0; accepted < 1100; accepted += 100) {
    await Promise.all(Array.from({ length: 100 }, () => admin.accept()));
  }
  const writes: string[] = [];
  const status = await dispatch({ commands, version: "0" }, ["-c", configFile, "queue", "list"], {
    stdin: process.stdin,
    stdout: { columns: 100, write: (text) => writes.push(text) },
    stderr: { write: () => {} },
  });
  assert.equal(status, 0);
  const lengths = writes.map((text) => text.trimEnd().split("\n").length);
  assert.deepEqual(lengths.slice(0, 2), [1001, 100]);
  const where = (line = "") => line.indexOf("waiting");
  assert.equal(where(writes[1]?.split("\n")[50]), where(writes[0]?.split("\n")[1]));
});

test("show prints everything about a message except its body", async () => {
  const { meta } = await admin.accept({ messageId: "<m1@example.net>" });
  await admin.defer("mailbox busy", { status: "4.2.1" });
  for (const id of [meta.id, `${meta.id}-0`, "<m1@example.net>"]) {
    const { status, out } = await postern("queue", "show", id);
    assert.equal(status, 0);
    for (const text of [
      meta.id,
      "<m1@example.net>",
      "From:        <a@example.net>",
      "To:          <b@example.com> pending",
      "\n               4.2.1 mailbox busy",
      "mx.example.com [203.0.113.25]:25 answered RCPT: 450 4.2.1 mailbox busy",
      "192.0.2.7:4711 (client.example.net, ESMTP)",
      "deferred in delivery, 1 attempt, next at",
      "Subject: a test",
    ]) {
      assert.ok(out.includes(text), `${text}\n${out}`);
    }
    assert.ok(!out.includes("secret body"));
  }
  const one = JSON.parse((await postern("queue", "show", meta.id, "--json")).out);
  assert.equal(one.id, meta.id);
  assert.equal(one.recipients[0].diagnosis.status, "4.2.1");
  const second = await admin.accept();
  const both = JSON.parse((await postern("queue", "show", "--all", "--json")).out) as { id: string }[];
  assert.deepEqual(both.map(({ id }) => id).sort(), [meta.id, second.meta.id].sort());
});

test("hold, release, retry and remove accept job ids, queue ids, Message-IDs and filters", async () => {
  const first = await admin.accept({ messageId: "<m1@example.net>" });
  const second = await admin.accept({ to: [["c@example.org"]] });
  const [one, two] = [`${first.meta.id}-0`, `${second.meta.id}-0`];

  assert.deepEqual(await postern("queue", "hold", "<m1@example.net>", "--reason", "spam?", "--until", "2h"), {
    status: 0,
    out: "held 1 of 1\n",
    err: "",
  });
  assert.deepEqual(
    await statuses(),
    new Map([
      [two, "waiting"],
      [one, "held"],
    ]),
  );
  const [row] = JSON.parse((await postern("queue", "list", "--status", "held", "--json")).out);
  assert.equal(row.reason, "spam?");

  const retried = await postern("queue", "retry", "--all");
  assert.equal(retried.status, 0);
  assert.match(retried.out, new RegExp(`^retrying 0 of 2\n[^]*${one} is held`));
  assert.equal((await statuses()).get(one), "held");

  assert.equal((await postern("queue", "release", first.meta.id)).out, "released 1 of 1\n");
  assert.equal((await statuses()).get(one), "deferred");

  assert.equal((await postern("queue", "remove", "--to", "*@example.org")).out, "removed 1 of 1\n");
  assert.deepEqual([...(await statuses()).keys()], [one]);
  assert.equal((await admin.spool.states(second.meta.id, true)).get(0)?.kind, "removed");
  const report = JSON.parse((await postern("queue", "remove", one, "--json")).out);
  assert.deepEqual([report.matched, report.changed], [1, 1]);
  assert.equal((await postern("queue", "remove", "--all")).out, "no message matches\n");
});

test("a hold of a domain that has no mail yet is a success: its rule holds what comes", async () => {
  const held = await postern("queue", "hold", "--to", "*@example.com");
  assert.equal(held.status, 0);
  assert.match(held.out, /messages that come later are held too, by the rule destination:example\.com/);
  assert.equal((await postern("queue", "hold", "--older", "2h")).status, 1);
});

test("put-back delivers dead mail again", async () => {
  const message = await admin.accept({ from: "" });
  await admin.inspector.remove({ ids: [message.meta.id] });
  await admin.moveToDead(message, "user unknown");
  assert.equal((await postern("queue", "put-back", "--status", "dead")).out, "requeued 1 of 1\n");
  assert.deepEqual([...(await statuses()).values()], ["waiting"]);
});

test("export writes the message with its original header fields", async () => {
  const body = Buffer.concat([Buffer.from("Subject: \xff\r\n\r\n", "latin1"), Buffer.alloc(100_000, 0x80)]);
  const { meta } = await admin.accept({ body });
  const program = `
    import { dispatch } from "./services/cli/dispatch.ts";
    import { commands } from "./services/cli/commands.ts";
    process.exitCode = await dispatch({ commands, version: "0" }, process.argv.slice(1), process);`;
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const args = [
    "--input-type=module",
    "-e",
    program,
    "--",
    "-c",
    configFile,
    "queue",
    "export",
    `${meta.id}-0`,
  ];
  const out = await new Promise<Buffer>((resolve, reject) => {
    execFile(
      process.execPath,
      args,
      { cwd: root, encoding: "buffer", maxBuffer: 1e7 },
      (error, stdout, stderr) => (error ? reject(new Error(stderr.toString())) : resolve(stdout)),
    );
  });
  assert.ok(out.equals(body));

  const file = path.join(directory, "one.eml");
  assert.deepEqual(await postern("queue", "export", meta.id, "-o", file), { status: 0, out: "", err: "" });
  assert.ok((await readFile(file)).equals(body));

  await admin.accept();
  const several = await postern("queue", "export", "--all");
  assert.equal(several.status, 2);
  assert.match(several.err, /needs -o DIRECTORY for 2 messages/);
  const mails = path.join(directory, "mails");
  assert.equal((await postern("queue", "export", "--all", "-o", mails)).status, 0);
  assert.equal((await readdir(mails)).length, 2);
  const nowhere = await postern("queue", "export", meta.id, "-o", "/dev/null/x");
  assert.equal(nowhere.status, 1);
  assert.match(nowhere.err, /^postern: cannot write \/dev\/null\/x: .*\n$/);
});

test("an unknown id is one line and exit status 1, and the other ids are changed nevertheless", async () => {
  const { meta } = await admin.accept();
  for (const command of ["show", "retry", "hold", "release", "remove", "put-back", "export"]) {
    const ended = await postern("queue", command, "0123456789ABCDEFGH");
    assert.deepEqual(
      ended,
      { status: 1, out: "", err: "postern: no message has the id 0123456789ABCDEFGH\n" },
      command,
    );
    assert.equal((await postern("queue", command, "<no@where>")).status, 1, command);
    assert.equal((await postern("queue", command, "../../etc/passwd")).status, 1, command);
  }
  const mixed = await postern("queue", "hold", "0123456789ABCDEFGH", meta.id);
  assert.equal(mixed.status, 1);
  assert.equal(mixed.out, "held 1 of 1\n");
});

test("without ids, filters or --all nothing is changed: exit status 2", async () => {
  await admin.accept();
  for (const command of ["show", "retry", "hold", "release", "remove", "put-back", "export"]) {
    for (const words of [
      [],
      ["X-0", "--all"],
      ["X-0", "--to", "b@example.com"],
      ["--nonsense"],
      ["--to", ""],
      ["--older", "soon", "--all"],
    ]) {
      const ended = await postern("queue", command, ...words);
      assert.equal(ended.status, 2, `${command} ${words}`);
      assert.equal(ended.err.split("\n").length, 2, ended.err);
      assert.equal(ended.out, "");
    }
  }
  for (const words of [
    ["list", "X-0"],
    ["list", "--limit", "0"],
    ["list", "--status", "lost"],
    ["list", "--queue", "bounce"],
    ["hold", "--all", "--until", "soon"],
    ["hold", "--all", "--until", "5"],
    ["hold", "--all", "--until", "foo 1"],
    ["hold", "--all", "--until", "2001-01-01"],
    ["flush"],
    [],
  ]) {
    assert.equal((await postern("queue", ...words)).status, 2, words.join(" "));
  }
  assert.deepEqual([...(await statuses()).values()], ["waiting"]);
});

test("a command prints one line when nothing is running: exit status 1", async () => {
  await admin.admin.close(100);
  for (const words of [
    ["queue", "list"],
    ["queue", "list", "--json"],
    ["queue", "retry", "--all"],
    ["health"],
  ]) {
    const ended = await postern(...words);
    assert.equal(ended.status, 1);
    assert.equal(ended.out, "");
    assert.match(ended.err, /^postern: [^\n]*127\.0\.0\.1[^\n]*\n$/);
  }
});

test("without the right token reads work, and changes name what is missing", async () => {
  await writeConfig({ withToken: false });
  assert.equal((await postern("queue", "list")).status, 0);
  const refused = await postern("queue", "retry", "--all");
  assert.equal(refused.status, 1);
  assert.match(refused.err, /Authorization: Bearer TOKEN/);
});

test("the token is found in the data directory where the configuration has none", async () => {
  await writeConfig({ withToken: false });
  const file = path.join(directory, "data", "admin.token");
  await rm(path.dirname(file), { recursive: true, force: true });
  await mkdir(path.dirname(file));
  await writeFile(file, `${token}\n`);
  assert.equal((await postern("queue", "retry", "--all")).status, 0);
  await rm(path.dirname(file), { recursive: true });
});

test("an admin on any free port is found by its announcement", async () => {
  await writeConfig({ port: "0", redis: true });
  const alone = await postern("queue", "list");
  assert.equal(alone.status, 1);
  assert.match(alone.err, /no admin is running/);
  await admin.announce("admin", undefined, admin.url);
  await waitFor("the announcement", async () => (await postern("queue", "list")).status === 0);
});

test("health asks a service and prints in one line what is wrong", async (t) => {
  const unready = await postern("health", "admin");
  assert.equal(unready.status, 1);
  assert.match(unready.err, /^postern: admin is not ready: ingress: no instance has announced itself; .*\n$/);
  await writeConfig({ redis: true });
  const where = { address: "127.0.0.1", port: 0 };
  const service = await startHealthServer(where, () => ({ ready: true, reasons: [] }), createMetrics("test"));
  t.after(() => service.close());
  for (const name of ["ingress", "delivery", "bounce"]) await admin.announce(name, undefined, service.url);
  await waitFor("readiness", async () => (await postern("health")).status === 0);
  assert.deepEqual(await postern("health", "delivery"), { status: 0, out: "delivery is ready\n", err: "" });
  assert.equal((await postern("health", "redis")).status, 2);
});

test("config show prints the file, or what the admin has in force, without its token", async () => {
  const file = await postern("config", "show");
  assert.equal(file.status, 0);
  assert.match(file.out, /^hostname: gw\.example\.net\n/);
  assert.ok(!file.out.includes(token));
  const running = await postern("config", "show", "--running", "--json");
  assert.equal(running.status, 0);
  assert.equal(JSON.parse(running.out).hostname, admin.config.hostname);
  assert.equal(JSON.parse(running.out).admin.token, "***");
});

test("with --url no configuration is needed, and only this machine gets the configured token", async () => {
  await admin.accept();
  const none = path.join(directory, "none.yaml");
  const ask = async (...words: string[]) => {
    const ended = { status: 0, out: "", err: "" };
    ended.status = await dispatch({ commands, version: "0" }, words, {
      stdin: process.stdin,
      stdout: { write: (text) => (ended.out += text) },
      stderr: { write: (text) => (ended.err += text) },
    });
    return ended;
  };
  const url = admin.url;
  assert.equal((await ask("-c", none, "queue", "list", "--url", url)).status, 0);
  assert.equal((await ask("-c", none, "queue", "retry", "--all", "--url", url)).status, 1);
  assert.equal((await ask("-c", none, "queue", "retry", "--all", "--url", url, "--token", token)).status, 0);
  assert.equal((await ask("-c", configFile, "queue", "retry", "--all", "--url", url)).status, 0);
  const wrong = await ask("queue", "list", "--url", "gw.example.net:8025");
  assert.equal(wrong.status, 2);
});

test("show has the attempts with their servers, when it gives up, and the notification", async (t) => {
  const { meta } = await admin.accept();
  await admin.defer("mailbox busy");
  const log = createLogger("test", { write() {} });
  const events = createEventPublisher({
    redis: { url: admin.redis.url },
    log,
    metrics: createMetrics("test"),
    events: { keep: 3_600_000, max: 1_000 },
    intervalMs: 5,
  });
  t.after(() => events.close());
  const own = withEventSink(log, events);
  const attempt = { id: meta.id, to: "b@example.com", remote: "mx.example.com[203.0.113.25]:25", ms: 42 };
  const tls = { protocol: "TLSv1.3", policy: "dane" };
  logEvent(own, {
    event: "delivery.deferred",
    ...attempt,
    attempt: 1,
    reason: "busy",
    reply: "450 4.2.1 busy",
    tls,
  });
  logEvent(own, {
    event: "delivery.rejected",
    ...attempt,
    attempt: 2,
    reason: "gone",
    tls: { policy: "may" },
  });
  // Of another message, about which this one is a notification.
  logEvent(own, { event: "dsn.made", id: "OTHER", dsnId: meta.id, kind: "failed", to: "c@example.net" });
  logEvent(own, { event: "dsn.made", id: meta.id, dsnId: "1DSN", kind: "failed", to: "a@example.net" });
  const out = await waitFor("the events", async () => {
    const shown = (await postern("queue", "show", meta.id)).out;
    return shown.includes("Notified:") && shown;
  });
  const expires = new Date(meta.receivedAtMs + admin.config.queue.expire).toISOString();
  for (const text of [
    `Gives up:    ${expires} (in 4d 23h)`,
    "<b@example.com> deferred by mx.example.com[203.0.113.25]:25, 42 ms, TLS TLSv1.3, dane\n               450 4.2.1 busy",
    "<b@example.com> rejected by mx.example.com[203.0.113.25]:25, 42 ms, TLS none, may\n               gone",
    "(failed), by 1DSN",
  ])
    assert.ok(out.includes(text), `${text}\n${out}`);
  assert.ok(!out.includes("c@example.net"));
  const detail = JSON.parse((await postern("queue", "show", meta.id, "--json")).out);
  assert.deepEqual(
    detail.attempts.map(({ outcome }: { outcome: string }) => outcome),
    ["deferred", "rejected"],
  );
  assert.equal(detail.notifications[0].id, "1DSN");
});

test("exported mail is imported with its envelope, once, and its octets are the same", async () => {
  const body = Buffer.from("Subject: \xff\r\nMessage-ID: <7@x.example>\r\n\r\nFrom here\r\n", "latin1");
  const { meta } = await admin.accept({ body, to: [["b@example.com", "c@example.com"]] });
  await admin.spool.settle([{ id: meta.id, recipients: [1], state: { kind: "removed" } }]);
  const mails = path.join(directory, "exported/");
  assert.equal((await postern("queue", "export", meta.id, "--envelope", "-o", mails)).status, 0);
  await postern("queue", "remove", "--all");

  const first = await postern("queue", "import", mails, "--json");
  assert.deepEqual([first.status, first.err], [0, ""]);
  const [imported] = JSON.parse(first.out);
  assert.equal(imported.status, "queued");
  const rows = JSON.parse((await postern("queue", "list", "--json")).out);
  assert.equal(rows.length, 1);
  assert.deepEqual(
    [rows[0].from, rows[0].to, rows[0].messageId],
    ["a@example.net", ["b@example.com"], "<7@x.example>"],
  );
  const stored = await admin.spool.read(imported.id);
  assert.ok(stored?.body.kind === "buffer" && stored.body.bytes.equals(body));

  const again = await postern("queue", "import", mails);
  assert.equal(again.out, `${imported.id} known ${path.join(mails, `${meta.id}.eml`)}\n`);
  assert.equal(JSON.parse((await postern("queue", "list", "--json")).out).length, 1);
});

test("an mbox is imported message by message; what has no envelope needs --from and --to", async () => {
  const mbox = path.join(directory, "mbox");
  await writeFile(
    mbox,
    "From x@one.example Mon Jan  1 00:00:00 2024\nSubject: 1\n\n>From me\n\nFrom y@two.example Mon\nSubject: 2\n\nb\n",
  );
  const unnamed = await postern("queue", "import", mbox);
  assert.deepEqual(
    [unnamed.status, unnamed.err],
    [1, `postern: ${mbox} does not say whom it is for: give --to ADDRESS\n`],
  );
  const { status, out } = await postern("queue", "import", mbox, "--to", "b@example.com", "--json");
  assert.equal(status, 0);
  const ids = (JSON.parse(out) as { id: string }[]).map(({ id }) => id);
  assert.equal(ids.length, 2);
  const rows = JSON.parse((await postern("queue", "list", "--json")).out) as { from: string }[];
  assert.deepEqual(rows.map(({ from }) => from).sort(), ["x@one.example", "y@two.example"]);
  const stored = await admin.spool.read(ids[0] ?? "");
  assert.ok(stored?.body.kind === "buffer");
  assert.equal(stored.body.bytes.toString(), "Subject: 1\r\n\r\nFrom me\r\n");
  const bad = await postern("queue", "import", mbox, "--to", "nobody");
  assert.equal(bad.status, 1);
  assert.match(bad.err, /body\.to\[0\] is not a mail address/);
  assert.equal((await postern("queue", "import", path.join(directory, "nothing"))).status, 1);
});
