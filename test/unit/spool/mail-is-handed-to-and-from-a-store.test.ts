/** The mail of a spool goes into a store, or out of one: all of it, as it is, and each message once. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createFsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import { cancelHandover, handOver } from "../../../shared/spool/handover/handover.ts";
import { whyHandedOver } from "../../../shared/spool/handover/handover-file.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { S3Spool } from "../../../shared/spool/s3/s3-spool.ts";
import type { Spool } from "../../../shared/spool/spool.ts";
import { someDiagnosis } from "../../contract/spool.ts";
import { serverError } from "../../support/s3-fault-proxy.ts";
import { byId, type Mail, mailIn, mailOf, store } from "../../support/spooled-mail.ts";
import { makeS3Fixture, type S3Fixture } from "./s3/s3-fixture.ts";

const program = fileURLToPath(new URL("../../support/hand-over-process.ts", import.meta.url));

/** As a service sees it that starts now. */
async function mailInStore(fixture: S3Fixture): Promise<Mail[]> {
  const spool = await fixture.open();
  return mailOf(spool).finally(() => spool.close());
}

const delivered: RecipientState = { kind: "delivered" };

const kinds: [number, RecipientState][][] = [
  [],
  [
    [0, delivered],
    [1, { kind: "failed", diagnosis: someDiagnosis }],
  ],
  [[2, { kind: "dead", diagnosis: someDiagnosis, atMs: 1 }]],
  [[1, { kind: "pending", via: "isp" }]],
  [
    [0, { kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 5 } }],
    [1, { kind: "pending", warned: true }],
  ],
];
const settled: [number, RecipientState][] = [
  [0, delivered],
  [1, { kind: "removed" }],
  [2, { kind: "bounced" }],
];

async function storeAll(spool: Spool): Promise<Mail[]> {
  const mail: Mail[] = [];
  for (const states of kinds) mail.push(await store(spool, states));
  mail.push(await store(spool, [], 400_000));
  await store(spool, settled);
  return mail.toSorted(byId);
}

async function filled(fixture: S3Fixture): Promise<{ from: string; mail: Mail[] }> {
  const from = fixture.directory();
  const spool = createFsSpool({ directory: from });
  const mail = await storeAll(spool).finally(() => spool.close());
  return { from, mail };
}

const end = (spool: S3Spool) => ({ name: "s3://mail/", spool });
const openEnd = async (fixture: S3Fixture) => end(await fixture.open({ forHandover: true }));

test("from a disk into a store: states, reroutes and large bodies come along, and services wait until it is done", async (t) => {
  const fixture = await makeS3Fixture(t);
  const { from, mail } = await filled(fixture);
  const to = await openEnd(fixture);
  const early = await fixture.open();
  const report = await handOver({
    from,
    to,
    chunk: { messages: 2, octets: 1e6 },
    async beforeCommit() {
      const sentence = new RegExp(
        `^the mail of the spool ${from} is being copied into it: finish that with the same 'postern spool copy', or end it with --cancel$`,
      );
      await assert.rejects(early.admitted(), { message: sentence });
      await assert.rejects(store(early, []), { name: "SpoolUnavailable", message: sentence });
      await assert.rejects(mailOf(early), { name: "SpoolUnavailable", message: sentence });
      await assert.rejects(early.checkWritable(), { name: "SpoolUnavailable", message: sentence });
      assert.match(
        whyHandedOver(from) ?? "",
        /^its mail is being handed to the spool s3:\/\/mail\/: finish that with the same 'postern spool copy --to', or end/,
      );
      await assert.rejects(handOver({ from: fixture.directory(), to }), {
        message: `the mail of the spool ${from} is being copied into s3://mail/`,
      });
    },
  });
  assert.deepEqual(report, { messages: 6, recipients: 18, unreadable: [] });
  assert.deepEqual(await mailOf(early), mail, "the service uses it now");
  assert.deepEqual(await mailIn(from), []);
  assert.equal(whyHandedOver(from), undefined);
  assert.deepEqual(fixture.keys("handover/"), []);
  assert.deepEqual(await handOver({ from, to }), { messages: 0, recipients: 0, unreadable: [] });
  assert.deepEqual(await mailInStore(fixture), mail, "nothing comes twice");
});

test("from a store to a disk, and into another store", async (t) => {
  const [first, second] = [await makeS3Fixture(t), await makeS3Fixture(t)];
  const spool = await first.open();
  const mail = await storeAll(spool);
  await spool.close();
  const other = { ...(await openEnd(second)), name: "s3://other/" };
  const moved = await handOver({
    from: await openEnd(first),
    to: other,
    async beforeCommit() {
      await assert.rejects(mailInStore(first), {
        message:
          "its mail is being handed to the spool s3://other/: finish that with the same 'postern spool copy', or end it with --cancel",
      });
      await assert.rejects(
        handOver({ from: other, to: first.directory() }),
        /^Error: the mail of the spool s3:\/\/mail\/ is being copied into s3:\/\/other\/$/,
      );
    },
  });
  assert.equal(moved.messages, 6);
  assert.deepEqual([await mailInStore(first), await mailInStore(second)], [[], mail]);

  const to = second.directory();
  const report = await handOver({ from: other, to });
  assert.deepEqual(report, { messages: 6, recipients: 18, unreadable: [] });
  assert.deepEqual([await mailInStore(second), await mailIn(to)], [[], mail]);
});

test("given up before all is copied, nothing is left in the store, and the services of both go on", async (t) => {
  const fixture = await makeS3Fixture(t);
  const own = await fixture.open();
  const theirs = await store(own, []);
  const { from, mail } = await filled(fixture);
  const to = await openEnd(fixture);
  const stop = () => Promise.reject(new Error("interrupted"));
  await assert.rejects(handOver({ from, to, beforeCommit: stop }), /interrupted/);
  await assert.rejects(cancelHandover(from), /say --to with the configuration of that gateway, too$/);
  assert.equal(await cancelHandover(from, await openEnd(fixture)), true);
  assert.equal(whyHandedOver(from), undefined);
  assert.deepEqual(await mailIn(from), mail);
  assert.deepEqual(await mailInStore(fixture), [theirs]);
  assert.deepEqual(fixture.keys("bodies/"), []);
  // The same messages may be handed over all the same.
  assert.equal((await handOver({ from, to: await openEnd(fixture) })).messages, mail.length);
  assert.deepEqual(await mailInStore(fixture), [...mail, theirs].toSorted(byId));
});

test("a store that is the spool itself by another name gets nothing, and loses nothing", async (t) => {
  const fixture = await makeS3Fixture(t);
  const [one, other] = [await fixture.open(), await fixture.open()];
  const mail = await storeAll(one);
  const from = { name: "s3://mail/ at one", spool: one };
  const to = { name: "s3://mail/ at other", spool: other };
  await assert.rejects(handOver({ from, to }), { message: "s3://mail/ at other is this spool itself" });
  assert.deepEqual(await mailInStore(fixture), mail);
  // As a crash leaves it right after the first step.
  await one.closure.close({ id: "0123456789abcdef", role: "from", other: to.name });
  await assert.rejects(handOver({ from, to }), { message: "s3://mail/ at other is this spool itself" });
  assert.equal(await cancelHandover(from, to), true);
  assert.deepEqual(await mailInStore(fixture), mail);
});

test("a write whose answer is lost loses no message, and makes none of them two", async (t) => {
  const fixture = await makeS3Fixture(t, { conditionalPut: "ignored" });
  const { from, mail } = await filled(fixture);
  let lost = 0;
  const to = end(await fixture.open({ forHandover: true, repeatMs: 50 }));
  // The store takes it, and whether it has cannot be asked either.
  fixture.proxy.decide = ({ method, path: asked }) => {
    if (!asked.includes("/messages/") || lost > 20) return undefined;
    if (method === "PUT") lost++;
    return method === "PUT" ? { do: "lose" } : method === "HEAD" ? serverError : undefined;
  };
  for (let runs = 0; ; runs++) {
    assert.ok(runs < 100);
    const report = await handOver({ from, to, chunk: { messages: 2, octets: 1e6 } }).catch(() => undefined);
    if (report !== undefined) break;
  }
  assert.ok(lost > 0);
  assert.deepEqual([await mailIn(from), await mailInStore(fixture)], [[], mail]);
});

/** Runs until it has printed so many lines, and kills it then. @returns whether it has ended by itself */
async function runAndKill(from: string, to: string, lines: number): Promise<boolean> {
  const child = spawn(process.execPath, [program, from, to], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  let seen = 0;
  createInterface({ input: child.stdout }).on("line", () => {
    if (++seen >= lines) child.kill("SIGKILL");
  });
  return (await ended) === 0;
}

function optionsOf({ store: { bucket, endpoint, accessKeyId, secretAccessKey }, directory }: S3Fixture) {
  const credentials = { accessKeyId, secretAccessKey };
  return JSON.stringify({
    bucket,
    endpoint,
    credentials,
    directory: directory(),
    largeBytes: 65_536,
    batchMs: 5,
  });
}

/** Each run gets further than the one before. */
async function untilDone(from: string, to: string, between: () => Promise<void>): Promise<void> {
  for (let runs = 1, isDone = false; !isDone; runs++) {
    isDone = await runAndKill(from, to, runs > 5 ? Number.POSITIVE_INFINITY : runs * 2 - 1);
    await between();
  }
}

test("killed again and again on its way into a store, each message is there once", async (t) => {
  const fixture = await makeS3Fixture(t);
  const { from, mail } = await filled(fixture);
  await untilDone(from, optionsOf(fixture), async () => {});
  assert.deepEqual([await mailIn(from), await mailInStore(fixture)], [[], mail]);
  const ids = mail.map(({ id }) => id);
  const written = fixture.keys("messages/").map((key) => String(fixture.store.objects.get(key)?.bytes));
  for (const id of ids) assert.equal(written.filter((text) => text.includes(id)).length, 1, id);
});

test("killed again and again on its way out of a store, while the other gateway delivers, each message comes once", async (t) => {
  const fixture = await makeS3Fixture(t);
  const spool = await fixture.open();
  const ids: string[] = [];
  for (let n = 0; n < 6; n++) ids.push((await store(spool, [[0, delivered]], n % 3 ? 100 : 100_000)).id);
  await spool.close();
  const to = fixture.directory();
  const arrived: string[] = [];
  await untilDone(optionsOf(fixture), to, async () => {
    const other = createFsSpool({ directory: to });
    for await (const { meta, states } of other.unsettled()) {
      assert.deepEqual([...states], [[0, delivered]]);
      arrived.push(meta.id);
      await other.settle([{ id: meta.id, recipients: [1, 2], state: delivered }]);
    }
    await other.close();
    // As a collector does: the next run cannot know that they were there.
    for (const place of ["segments", "large", "settled"])
      for (const name of readdirSync(path.join(to, place))) rmSync(path.join(to, place, name));
  });
  assert.deepEqual(arrived.toSorted(), ids.toSorted());
  assert.deepEqual(await mailInStore(fixture), []);
});
