import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, type TestContext, test } from "node:test";
import { pino } from "pino";
import { createNotifier } from "../../../services/bounce/notifier.ts";
import { createBounceMetrics } from "../../../services/bounce/publish.ts";
import type { Envelope } from "../../../shared/mail/envelope.ts";
import type { MessageMeta } from "../../../shared/mail/message.ts";
import type { BounceJob } from "../../../shared/queue/contract/contract.ts";
import type { DeadJob } from "../../../shared/queue/contract/dead-job.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";
import { readStart } from "../../../shared/spool/header-section.ts";
import { createMemorySpool } from "../../../shared/spool/memory.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import {
  SpoolCorrupt,
  SpoolFull,
  SpoolUnavailable,
  type StoredMessage,
} from "../../../shared/spool/spool.ts";
import { testConfig } from "../../support/config.ts";
import { routeNamed } from "../../support/route-named.ts";

const receivedAtMs = 1_800_000_000_000;
const nowMs = receivedAtMs + 60_000;
const id = "1HZ8C4S30ABCDEFGHJ";
const refusal: Diagnosis = {
  status: "5.1.1",
  class: "5xx",
  reason: "no such user",
  reply: { code: 550, enhanced: "5.1.1", lines: ["no such user"], command: "RCPT" },
  remote: { host: "mx.example.com", address: "192.0.2.25", port: 25 },
  atMs: receivedAtMs + 1000,
};
const failed: RecipientState = { kind: "failed", diagnosis: refusal };
const bob = { address: "bob@example.com" };
const carol = { address: "carol@example.com" };

async function* damagedOctets(): AsyncGenerator<Buffer, void> {
  yield Buffer.from("Subject: ");
  throw new SpoolCorrupt("bad checksum");
}

interface Given {
  envelope?: Partial<Envelope>;
  tlsOptional?: true;
  states?: [number, RecipientState][];
  body?: string;
  config?: Parameters<typeof testConfig>[0];
}

/** A stored message, and the notifier over its spool. */
async function given(t: TestContext, { envelope, states = [], body, config, ...more }: Given) {
  const spool = createMemorySpool();
  t.after(() => spool.close());
  const recipients = envelope?.recipients ?? [bob];
  const meta: MessageMeta = {
    version: 1,
    id,
    receivedAtMs,
    envelope: { reversePath: "alice@example.org", ...envelope, recipients },
    origin: null,
    received: "",
    size: 0,
    has8bit: false,
    parts: [recipients.map((_, index) => index)],
    ...more,
  };
  const bytes = Buffer.from(
    body ?? "Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nthe secret body\r\n",
  );
  meta.size = bytes.length;
  const draft = spool.draft();
  await draft.write(bytes);
  const stored = await draft.commit(meta);
  await spool.settle(states.map(([index, state]) => ({ id, recipients: [index], state })));
  const published: { message: StoredMessage; routes: string[] }[] = [];
  const dead: DeadJob[] = [];
  const events: Record<string, unknown>[] = [];
  let serial = 0;
  const handle = createNotifier({
    config: testConfig(config),
    log: pino({}, { write: (line: string) => void events.push(JSON.parse(line)) }),
    metrics: createBounceMetrics(),
    spool,
    schedule: (message, routes) => void published.push({ message, routes: routes.map(({ label }) => label) }),
    addDead: async (job) => void dead.push(job),
    summarizeRoute: (of) => routeNamed(`relay via mx ${of.envelope.recipients[0]?.address.split("@")[1]}`),
    now: () => nowMs,
    random: () => new Uint8Array(9).fill(serial++),
  });
  const run = (job: Partial<BounceJob> = {}, signal = new AbortController().signal) =>
    handle({
      jobId: `${id}-failed`,
      job: { version: 1, kind: "failed", id, locator: stored.locator, ...job } as BounceJob,
      signal,
    });
  const kinds = async () => [...(await spool.states(id)).values()].map(({ kind }) => kind);
  const textOf = async (index: number) => {
    const message = published[index]?.message;
    const found = await spool.read(message?.meta.id ?? "", message?.locator);
    return found === undefined ? "" : (await readStart(found.body, 10_000_000)).toString("utf8");
  };
  return { spool, run, published, dead, events, kinds, textOf };
}

describe("failures", () => {
  test("one notification names all recipients that failed so far, and settles them with its own record", async (t) => {
    const { run, published, kinds, textOf } = await given(t, {
      envelope: { recipients: [bob, carol, { address: "dave@example.com" }] },
      states: [
        [0, failed],
        [1, failed],
        [2, { kind: "delivered" }],
      ],
    });
    assert.deepEqual(await run(), { kind: "done" });
    assert.equal(published.length, 1);
    assert.deepEqual(await kinds(), ["bounced", "bounced", "delivered"]);
    const text = await textOf(0);
    assert.match(text, /Final-Recipient: rfc822; bob@example.com/);
    assert.match(text, /Final-Recipient: rfc822; carol@example.com/);
    assert.doesNotMatch(text, /dave/);
  });

  test("RFC 5321 §4.5.5: a notification is from <> to the sender, and routed as any mail to them", async (t) => {
    const { run, published } = await given(t, { states: [[0, failed]] });
    await run();
    assert.partialDeepStrictEqual(published[0]?.message.meta, {
      receivedAtMs: nowMs,
      envelope: { reversePath: "", recipients: [{ address: "alice@example.org" }] },
      origin: null,
      received: "",
      parts: [[0]],
    });
    assert.deepEqual(published[0]?.routes, ["relay via mx example.org"]);
  });

  test("nothing is reported that another process reported while this one was stopped", async (t) => {
    const { spool, run, published, kinds, textOf } = await given(t, {
      envelope: { recipients: [bob, carol] },
      states: [
        [0, failed],
        [1, failed],
      ],
    });
    const read = spool.read.bind(spool);
    spool.read = async (...which) => {
      const found = await read(...which);
      // The other process has seen one failure only.
      await spool.settle([{ id, recipients: [0], state: { kind: "bounced" } }]);
      return found;
    };
    assert.deepEqual(await run(), { kind: "done" });
    assert.equal(published.length, 1);
    assert.doesNotMatch(await textOf(0), /Final-Recipient: rfc822; bob/);
    assert.match(await textOf(0), /Final-Recipient: rfc822; carol/);
    assert.deepEqual(await kinds(), ["bounced", "bounced"]);
  });

  test("a job that was taken away is not ended here, and stores no notification", async (t) => {
    const { spool, run, published, kinds } = await given(t, { states: [[0, failed]] });
    const taken = new AbortController();
    const read = spool.read.bind(spool);
    spool.read = async (...which) => {
      taken.abort();
      return read(...which);
    };
    await assert.rejects(run({}, taken.signal), /taken away/);
    assert.deepEqual([published, await kinds()], [[], ["failed"]]);
  });

  test("two processes that report the same failures make one message: its queue id follows from them", async (t) => {
    const later = { kind: "failed", diagnosis: { ...refusal, atMs: refusal.atMs + 1 } } as const;
    const [one, two, three] = [
      await given(t, { states: [[0, failed]] }),
      await given(t, { states: [[0, failed]] }),
      await given(t, { states: [[0, later]] }),
    ];
    for (const { run } of [one, two, three]) await run();
    const ids = [one, two, three].map(({ published }) => published[0]?.message.meta.id);
    assert.equal(ids[0], ids[1]);
    assert.notEqual(ids[0], ids[2]);
  });

  test("run again after a crash, the job finds nothing pending and makes no second notification", async (t) => {
    const { run, published } = await given(t, { states: [[0, failed]] });
    await run();
    assert.deepEqual(await run(), { kind: "done" });
    assert.equal(published.length, 1);
  });

  test("when the spool takes no notification, the failure stays pending", async (t) => {
    const { spool, run, kinds, published } = await given(t, { states: [[0, failed]] });
    spool.draft = () => {
      throw new SpoolFull("full");
    };
    await assert.rejects(run(), SpoolFull);
    assert.deepEqual(await kinds(), ["failed"]);
    assert.deepEqual(published, []);
  });

  test("RFC 3461 §4.1: recipients without FAILURE in their NOTIFY are settled without a notification", async (t) => {
    const recipients = [
      { ...bob, notify: [] },
      { ...carol, notify: ["SUCCESS" as const, "DELAY" as const] },
    ];
    const { run, published, kinds, events } = await given(t, {
      envelope: { recipients },
      states: [
        [0, failed],
        [1, failed],
      ],
    });
    await run();
    assert.deepEqual(published, []);
    assert.deepEqual(await kinds(), ["bounced", "bounced"]);
    assert.deepEqual(
      events.map(({ event }) => event),
      ["message.settled"],
    );
  });

  test("a notification names only the recipients whose failure is to be reported", async (t) => {
    const { run, kinds, textOf } = await given(t, {
      envelope: {
        recipients: [
          { ...bob, notify: [] },
          { ...carol, notify: ["FAILURE"] },
        ],
      },
      states: [
        [0, failed],
        [1, failed],
      ],
    });
    await run();
    assert.deepEqual(await kinds(), ["bounced", "bounced"]);
    assert.doesNotMatch(await textOf(0), /bob@example.com/);
  });

  for (const reversePath of ["", "root", "alice@example.org>\r\nBcc: <v@example.org"]) {
    test(`nothing can be returned to <${JSON.stringify(reversePath)}>: its failures go to dead`, async (t) => {
      const { run, published, dead, kinds, events } = await given(t, {
        envelope: { reversePath },
        states: [[0, failed]],
      });
      await run();
      assert.deepEqual(published, []);
      assert.deepEqual(await kinds(), ["dead"]);
      assert.equal(dead[0]?.diagnosis?.status, "5.1.1");
      assert.deepEqual(dead[0]?.job.to, ["bob@example.com"]);
      assert.equal(events[0]?.event, "message.dead");
    });
  }

  const damaged = () => Promise.reject(new SpoolCorrupt("bad checksum"));
  const unreadable = () => Promise.reject(new SpoolUnavailable("EIO: i/o error, read"));

  test("a message with a damaged envelope goes to dead and is logged as an error", async (t) => {
    const { spool, run, dead, kinds, events } = await given(t, { states: [[0, failed]] });
    spool.read = damaged;
    spool.readMeta = damaged;
    assert.deepEqual(await run(), { kind: "done" });
    assert.deepEqual(await kinds(), ["dead"]);
    assert.match(dead[0]?.reason ?? "", /bad checksum/);
    assert.equal(events[0]?.level, 50);
  });

  for (const [what, read] of [
    ["is damaged", damaged],
    ["cannot be read", unreadable],
  ] as const) {
    test(`the sender hears of a failure although the message's body ${what}: nothing of it is attached`, async (t) => {
      const { spool, run, published, dead, kinds, textOf } = await given(t, { states: [[0, failed]] });
      const readNotification = spool.read.bind(spool);
      spool.read = (wanted, locator) => (wanted === id ? read() : readNotification(wanted, locator));
      assert.deepEqual(await run(), { kind: "done" });
      assert.deepEqual(await kinds(), ["bounced"]);
      assert.deepEqual([published.length, dead.length], [1, 0]);
      const notification = await textOf(0);
      assert.match(notification, /Status: 5\.1\.1/);
      assert.doesNotMatch(notification, /Subject: hello|text\/rfc822-headers|message\/rfc822/);
    });
  }

  test("a body that turns out damaged when it is quoted does not keep the notification", async (t) => {
    const { spool, run, kinds } = await given(t, { states: [[0, failed]] });
    const read = spool.read.bind(spool);
    spool.read = async (wanted, locator) => {
      const found = await read(wanted, locator);
      const open = () => Readable.from(damagedOctets());
      return wanted === id && found ? { ...found, body: { kind: "file", size: 9, open } } : found;
    };
    assert.deepEqual(await run(), { kind: "done" });
    assert.deepEqual(await kinds(), ["bounced"]);
  });

  test("a failure that can never be reported is repeated until it has expired, and is then dead", async (t) => {
    const young = await given(t, { states: [[0, failed]] });
    young.spool.read = unreadable;
    young.spool.readMeta = unreadable;
    await assert.rejects(young.run(), SpoolUnavailable);
    assert.deepEqual(await young.kinds(), ["failed"]);
    const old = await given(t, { states: [[0, failed]], config: { queue: { expire: "50s" } } });
    old.spool.read = unreadable;
    old.spool.readMeta = unreadable;
    assert.deepEqual(await old.run(), { kind: "done" });
    assert.deepEqual(await old.kinds(), ["dead"]);
    assert.equal(old.dead.length, 1);
  });

  test("dsn.made and message.settled are logged", async (t) => {
    const { run, events } = await given(t, { states: [[0, failed]] });
    await run();
    assert.partialDeepStrictEqual(events[0], {
      event: "dsn.made",
      id,
      kind: "failed",
      to: "alice@example.org",
      recipients: ["bob@example.com"],
      statuses: ["5.1.1"],
    });
    assert.partialDeepStrictEqual(events[1], { event: "message.settled", id });
  });
});

describe("what is returned of the original", () => {
  const cases: [string, Given, { body: boolean; header: boolean }][] = [
    ["dsn.attach headers, the default", {}, { body: false, header: true }],
    ["dsn.attach full", { config: { dsn: { attach: "full" } } }, { body: true, header: true }],
    ["dsn.attach none", { config: { dsn: { attach: "none" } } }, { body: false, header: false }],
    ["RFC 3461 §4.3 RET=FULL", { envelope: { ret: "FULL" } }, { body: true, header: true }],
    [
      "RET=HDRS above dsn.attach full",
      { envelope: { ret: "HDRS" }, config: { dsn: { attach: "full" } } },
      { body: false, header: true },
    ],
    [
      "RET=FULL of a message above dsn.max_attach",
      { envelope: { ret: "FULL" }, config: { dsn: { max_attach: "62B" } } },
      { body: false, header: true },
    ],
    [
      "RFC 8689 §5: REQUIRETLS is as RET=HDRS, whatever else is said",
      { envelope: { ret: "FULL", requireTls: true }, config: { dsn: { attach: "none" } } },
      { body: false, header: true },
    ],
  ];
  for (const [name, setting, expected] of cases) {
    test(name, async (t) => {
      const { run, textOf } = await given(t, { ...setting, states: [[0, failed]] });
      await run();
      const text = await textOf(0);
      assert.equal(text.includes("the secret body"), expected.body);
      assert.equal(/^Message-ID: <1@example.org>/m.test(text), expected.header);
    });
  }

  test("Original-Envelope-Id comes from ENVID only, Original-Recipient from ORCPT only", async (t) => {
    const without = await given(t, { states: [[0, failed]] });
    await without.run();
    assert.doesNotMatch(await without.textOf(0), /^Original-/m);
    const envelope = { envid: "QQ3", recipients: [{ ...bob, orcpt: "rfc822;robert@example.com" }] };
    const with_ = await given(t, { envelope, states: [[0, failed]] });
    await with_.run();
    const text = await with_.textOf(0);
    assert.match(text, /^Original-Envelope-Id: QQ3\r$/m);
    assert.match(text, /^Original-Recipient: rfc822;robert@example.com\r$/m);
  });

  test("a header section without end is cut between fields to dsn.max_attach", async (t) => {
    const body = `Subject: hello\r\n${"X-Long: y\r\n".repeat(20_000)}`;
    const { run, published } = await given(t, { body, states: [[0, failed]] });
    await run();
    assert.ok((published[0]?.message.meta.size ?? 0) < 64 * 1024 + 4096);
  });
});

describe("a message to very many recipients with very long addresses", () => {
  const domain = `${"d".repeat(63)}.${"d".repeat(63)}.${"d".repeat(63)}.${"d".repeat(59)}.com`;
  const recipients = Array.from({ length: 1000 }, (_, n) => {
    const address = `${String(n).padStart(4, "0")}${"v".repeat(252)}@${domain}`;
    return { address, orcpt: `rfc822;${address}` };
  });
  const states = recipients.map((_, n): [number, RecipientState] => {
    const reply = { code: 550, lines: [`${n} ${"words ".repeat(330)}`], command: "RCPT" as const };
    return [n, { kind: "failed", diagnosis: { ...refusal, reply } }];
  });
  const body = `Subject: hello\r\n${"X-Long: ü\r\n".repeat(10_000)}\r\n`;

  test("leads to several notifications of bounded size, which name each of them once", async (t) => {
    const { run, published, kinds, textOf } = await given(t, { envelope: { recipients }, states, body });
    await run();
    assert.ok(published.length > 1);
    const named: string[] = [];
    for (const [index, { message }] of published.entries()) {
      assert.ok(message.meta.size < 700_000, `${message.meta.size}`);
      for (const [, address] of (await textOf(index)).matchAll(/^Final-Recipient: rfc822; (.*)\r$/gm))
        named.push(address ?? "");
    }
    assert.deepEqual(
      named,
      recipients.map(({ address }) => address),
    );
    assert.deepEqual(new Set(await kinds()), new Set(["bounced"]));
  });

  test("and the notifications that were not stored before a crash are stored after it", async (t) => {
    const { spool, run, published, kinds } = await given(t, { envelope: { recipients }, states });
    const draft = spool.draft.bind(spool);
    let drafts = 0;
    spool.draft = () => {
      if (++drafts === 2) throw new SpoolFull("full");
      return draft();
    };
    await assert.rejects(run(), SpoolFull);
    assert.equal(published.length, 1);
    const before = (await kinds()).filter((kind) => kind === "bounced").length;
    assert.ok(before > 0 && before < 1000);
    await run();
    assert.deepEqual(new Set(await kinds()), new Set(["bounced"]));
  });

  test("while one notification is enough for a thousand ordinary recipients", async (t) => {
    const ordinary = recipients.map((_, n) => ({ address: `user${n}@mail.example.com` }));
    const { run, published } = await given(t, { envelope: { recipients: ordinary }, states, body });
    await run();
    assert.equal(published.length, 1);
    assert.ok((published[0]?.message.meta.size ?? 0) < 700_000);
  });
});

describe("delays and successes", () => {
  const delayed: Partial<BounceJob> = { kind: "delayed" };
  const late: RecipientState = {
    kind: "pending",
    delay: { diagnosis: { ...refusal, status: "4.4.1" }, willRetryUntilMs: receivedAtMs + 432_000_000 },
  };
  const good = (kind: "relayed" | "delivered", recipients: number[]): Partial<BounceJob> => ({
    kind,
    recipients: recipients.map((recipient) => ({
      recipient,
      reply: { code: 250, lines: ["queued"], command: "DOT" },
      remote: { host: "mx.example.com", address: "192.0.2.25", port: 25 },
      atMs: nowMs,
    })),
  });

  test("a delay warning says until when we try, notes that it was sent, and carries no body even with RET=FULL", async (t) => {
    const { spool, run, textOf } = await given(t, { envelope: { ret: "FULL" }, states: [[0, late]] });
    await run(delayed);
    const text = await textOf(0);
    assert.match(text, /^Action: delayed\r$/m);
    assert.match(text, /^Will-Retry-Until: /m);
    assert.doesNotMatch(text, /secret body/);
    assert.deepEqual([...(await spool.states(id))], [[0, { kind: "pending", warned: true }]]);
  });

  test("one warning names all late recipients without a warning, and a second one those that are late afterwards", async (t) => {
    const { spool, run, published, textOf } = await given(t, {
      envelope: { recipients: [bob, carol, { address: "dave@example.com" }] },
      states: [
        [0, late],
        [1, late],
      ],
    });
    await run(delayed);
    await run(delayed);
    assert.equal(published.length, 1);
    const named = (text: string) =>
      [...text.matchAll(/^Final-Recipient: rfc822; (.*)\r$/gm)].map(([, who]) => who);
    assert.deepEqual(named(await textOf(0)), ["bob@example.com", "carol@example.com"]);
    await spool.settle([{ id, recipients: [2], state: late }]);
    await run(delayed);
    assert.deepEqual(named(await textOf(1)), ["dave@example.com"]);
  });

  test("a warning that the spool does not take stays pending", async (t) => {
    const { spool, run, published } = await given(t, { states: [[0, late]] });
    spool.draft = () => {
      throw new SpoolFull("full");
    };
    await assert.rejects(run(delayed), SpoolFull);
    assert.deepEqual([...(await spool.states(id))], [[0, late]]);
    assert.deepEqual(published, []);
  });

  test("a recipient that was delivered or failed meanwhile is not warned about", async (t) => {
    const { run, published } = await given(t, {
      envelope: { recipients: [bob, carol] },
      states: [
        [0, late],
        [0, { kind: "delivered" }],
        [1, late],
        [1, failed],
      ],
    });
    await run(delayed);
    assert.deepEqual(published, []);
  });

  test("RFC 3461 §4.1: a warning is only for NOTIFY=DELAY, or where NOTIFY is absent", async (t) => {
    const recipients = [
      { ...bob, notify: ["FAILURE" as const] },
      { ...carol, notify: ["DELAY" as const] },
    ];
    const states: [number, RecipientState][] = [
      [0, late],
      [1, late],
    ];
    const { run, textOf } = await given(t, { envelope: { recipients }, states });
    await run(delayed);
    assert.doesNotMatch(await textOf(0), /bob@example.com/);
  });

  for (const kind of ["relayed", "delivered"] as const) {
    test(`RFC 3461 §5.2: a ${kind} report is only for NOTIFY=SUCCESS`, async (t) => {
      const recipients = [bob, { ...carol, notify: ["SUCCESS" as const] }];
      const { run, textOf, published } = await given(t, { envelope: { recipients } });
      await run(good(kind, [0, 1]));
      const text = await textOf(0);
      assert.match(text, new RegExp(`^Action: ${kind}\\r$`, "m"));
      assert.match(text, /^Status: 2\.0\.0\r$/m);
      assert.doesNotMatch(text, /bob@example.com/);
      assert.equal(published.length, 1);
    });
  }

  const success = (kind: "relayed" | "delivered"): RecipientState => ({
    kind: "delivered",
    success: {
      kind,
      reply: { code: 250, lines: ["queued"], command: "DOT" },
      remote: { host: "mx.example.com", address: "192.0.2.25", port: 25 },
      atMs: nowMs,
    },
  });
  const succeeded = { kind: "succeeded", version: 2 } as Partial<BounceJob>;

  test("pending successes are reported once, by whether the server passes the mail on, and are settled by that", async (t) => {
    const notify = ["SUCCESS" as const];
    const recipients = [bob, carol, { address: "dave@example.com" }].map((each) => ({ ...each, notify }));
    const { spool, run, published, textOf, events } = await given(t, {
      envelope: { recipients },
      states: [
        [0, success("relayed")],
        [1, success("delivered")],
        [2, { kind: "delivered" }],
      ],
    });
    assert.deepEqual(await run(succeeded), { kind: "done" });
    assert.equal(published.length, 2);
    const texts = [await textOf(0), await textOf(1)];
    assert.match(texts[0] ?? "", /Final-Recipient: rfc822; bob@example.com\r\nAction: relayed/);
    assert.match(texts[1] ?? "", /Final-Recipient: rfc822; carol@example.com\r\nAction: delivered/);
    assert.doesNotMatch(texts.join(), /dave/);
    const delivered: RecipientState = { kind: "delivered" };
    assert.deepEqual([...(await spool.states(id)).values()], [delivered, delivered, delivered]);
    assert.ok(events.some(({ event }) => event === "message.settled"));
    await run(succeeded);
    assert.equal(published.length, 2, "a second job of it finds nothing to report");
  });

  test("nothing is reported about mail of the null sender", async (t) => {
    const recipients = [{ ...bob, notify: ["SUCCESS" as const, "DELAY" as const] }];
    const { run, published } = await given(t, {
      envelope: { reversePath: "", recipients },
      states: [[0, late]],
    });
    await run(delayed);
    await run(good("relayed", [0]));
    assert.deepEqual(published, []);
  });
});

test("RFC 8689 §5: the notification about a message with REQUIRETLS requires it too", async (t) => {
  const { run, published } = await given(t, { envelope: { requireTls: true }, states: [[0, failed]] });
  await run();
  assert.equal(published[0]?.message.meta.envelope.requireTls, true);
});

test("RFC 8689 §6: the notification about a message with TLS-Required: No has the field too, others have none", async (t) => {
  const { run, published, textOf } = await given(t, { tlsOptional: true, states: [[0, failed]] });
  await run();
  assert.equal(published[0]?.message.meta.tlsOptional, true);
  assert.match(headerOf(await textOf(0)), /^TLS-Required: No$/m);
  const other = await given(t, { states: [[0, failed]] });
  await other.run();
  assert.equal(other.published[0]?.message.meta.tlsOptional, undefined);
  assert.doesNotMatch(headerOf(await other.textOf(0)), /TLS-Required/);
});

const headerOf = (text: string): string => text.split("\r\n\r\n")[0]?.replaceAll("\r\n", "\n") ?? "";

test("RFC 6531: a notification to a sender with a UTF-8 address asks for SMTPUTF8 and is 8-bit, others are plain", async (t) => {
  const plain = await given(t, { states: [[0, failed]] });
  await plain.run();
  assert.deepEqual(Object.keys(plain.published[0]?.message.meta.envelope ?? {}), [
    "reversePath",
    "recipients",
  ]);
  const utf8 = await given(t, {
    envelope: { reversePath: "älice@example.org", smtputf8: true },
    states: [[0, failed]],
  });
  await utf8.run();
  assert.partialDeepStrictEqual(utf8.published[0]?.message.meta, {
    has8bit: true,
    envelope: { smtputf8: true },
  });
});
