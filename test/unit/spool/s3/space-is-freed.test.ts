/** What is settled goes, what is left is joined, and a process that comes back late spoils nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { S3Spool } from "../../../../shared/spool/s3/s3-spool.ts";
import type { StoredMessage } from "../../../../shared/spool/spool.ts";
import { bodyOf, someMeta, store, textOf, unsettledIds } from "../../../contract/spool.ts";
import { waitFor } from "../../../support/wait-for.ts";
import { makeS3Fixture } from "./s3-fixture.ts";

const delivered = { kind: "delivered" } as const;

/** Each in an object of its own. */
async function storeEach(spool: S3Spool, count: number): Promise<StoredMessage[]> {
  const stored: StoredMessage[] = [];
  for (let n = 0; n < count; n++) stored.push(await store(spool, `message ${n}`));
  return stored;
}

async function settle(spool: S3Spool, messages: readonly StoredMessage[]): Promise<void> {
  await spool.settle(messages.map(({ meta }) => ({ id: meta.id, recipients: [0], state: delivered })));
}

test("mail that waits long is joined into one object, and found there by its old place and without one", async (t) => {
  const { open, keys } = await makeS3Fixture(t, { pageSize: 7 });
  const spool = await open({ moveAfterMs: 0, lingerMs: 0 });
  const other = await open();
  const stored = await storeEach(spool, 12);
  await settle(spool, stored.slice(0, 2));
  const first = await spool.collect();
  assert.deepEqual([first.messagesMoved, first.segmentsRemoved], [10, 2]);
  assert.equal((await spool.collect()).segmentsRemoved, 10);
  assert.equal(keys("messages/").length, 0);
  assert.equal(keys("compacted/").length, 1);
  const waiting = stored.slice(2);
  for (const each of waiting) {
    assert.match(await textOf(other, each), /^message \d+$/);
    assert.deepEqual((await other.read(each.meta.id))?.meta, each.meta);
    assert.deepEqual(await other.readMeta(each.meta.id, each.locator), each.meta);
  }
  assert.equal(await other.read(stored[0]?.meta.id ?? "", stored[0]?.locator), undefined);
  assert.deepEqual(
    await unsettledIds(other),
    waiting.map(({ meta }) => meta.id),
  );
  await settle(other, waiting);
  await spool.collect();
  assert.equal(keys("compacted/").length, 0);
});

test("a walk that goes on finds what was joined since, wherever it had stopped", async (t) => {
  const { open, keys } = await makeS3Fixture(t);
  const spool = await open({ moveAfterMs: 0, lingerMs: 0 });
  const stored = await storeEach(spool, 10);
  const behind = async ({ meta, locator }: StoredMessage): Promise<string[]> => {
    const ids: string[] = [];
    for await (const found of spool.unsettled({ after: { id: meta.id, locator } })) ids.push(found.meta.id);
    return ids;
  };
  const ids = stored.map(({ meta }) => meta.id);
  const [, , third] = stored;
  assert.ok(third);
  assert.deepEqual(await behind(third), ids.slice(3));
  assert.equal((await spool.collect()).messagesMoved, 10);
  assert.equal((await spool.collect()).segmentsRemoved, 10);
  assert.deepEqual([keys("messages/").length, keys("compacted/").length], [0, 1]);
  const joined: StoredMessage[] = [];
  for await (const found of spool.unsettled()) joined.push(found);
  assert.deepEqual((await behind(third)).toSorted(), ids.toSorted());
  for (const [index, each] of joined.entries())
    assert.deepEqual(
      await behind(each),
      joined.slice(index + 1).map(({ meta }) => meta.id),
    );
});

test("while the sources of a joined object linger, each message is listed once", async (t) => {
  const { open, keys } = await makeS3Fixture(t);
  const spool = await open({ moveAfterMs: 0, lingerMs: 1_000_000 });
  const stored = await storeEach(spool, 10);
  await spool.collect();
  assert.deepEqual([keys("messages/").length, keys("compacted/").length], [10, 1]);
  assert.deepEqual(
    await unsettledIds(await open()),
    stored.map(({ meta }) => meta.id),
  );
  // Another collector finds them joined already.
  const next = await open({ moveAfterMs: 0, lingerMs: 0 });
  await next.collect();
  await next.collect();
  assert.deepEqual([keys("messages/").length, keys("compacted/").length], [0, 1]);
});

test("a joined object of a process that was suspended until its mail was delivered and forgotten does not count", async (t) => {
  const { store: s3, proxy, open, keys } = await makeS3Fixture(t, { conditionalPut: "unsupported" });
  const slow = await open({ moveAfterMs: 0, repeatMs: 10 });
  const stored = await storeEach(slow, 10);
  proxy.decide = ({ method, path }) =>
    method === "PUT" && path.includes("/compacted/") ? { do: "delay" } : undefined;
  await assert.rejects(slow.collect());
  proxy.decide = () => undefined;
  const other = await open({ forgetAfterMs: 0 });
  await settle(other, stored);
  await other.collect();
  assert.deepEqual(keys("messages/"), []);
  s3.clockOffsetMs = 120_000;
  await proxy.release();
  assert.equal(keys("compacted/").length, 1);
  // Nobody knows any more that the messages were delivered.
  for (const key of keys("states/")) s3.objects.delete(key);
  const fresh = await open();
  assert.deepEqual(await unsettledIds(fresh), []);
  await fresh.collect();
  assert.deepEqual(keys("compacted/"), []);
});

test("status objects are joined, and forgotten when their messages have been gone for long", async (t) => {
  let nowMs = 0;
  const { open, keys } = await makeS3Fixture(t);
  const spool = await open({ lingerMs: 0, forgetAfterMs: 0, monotonicMs: () => nowMs });
  const waiting = await store(spool, "waiting", someMeta(2));
  await spool.settle([{ id: waiting.meta.id, recipients: [1], state: delivered }]);
  for (const message of await storeEach(spool, 20)) await settle(spool, [message]);
  assert.equal(keys("states/").length, 21);
  for (let run = 0; run < 4; run++) {
    await spool.collect();
    nowMs += 10_000;
  }
  assert.ok(keys("states/").length <= 2, `${keys("states/").length} are left`);
  const other = await open();
  assert.deepEqual([...(await other.states(waiting.meta.id))], [[1, delivered]]);
  assert.deepEqual(await unsettledIds(other), [waiting.meta.id]);
});

test("a large body is uploaded in parts, read back whole, and removed with its message", async (t) => {
  const { store: s3, open, keys } = await makeS3Fixture(t);
  const spool = await open({ partBytes: 100_000 });
  const octets = Buffer.alloc(730_001, "a large body\r\n");
  const stored = await store(spool, octets);
  assert.ok(s3.requests.filter((request) => request === "PUT multipart").length >= 7);
  assert.equal(s3.uploads.size, 0);
  const other = await open();
  const message = await other.read(stored.meta.id, stored.locator);
  assert.ok(message && (await bodyOf(message.body)).equals(octets));
  await settle(other, [stored]);
  await other.collect();
  assert.deepEqual([...keys("messages/"), ...keys("bodies/")], []);
});

test("a draft that is discarded leaves no part of its body, and what a dead process leaves is removed in time", async (t) => {
  const { store: s3, open, keys } = await makeS3Fixture(t);
  let nowMs = 0;
  const spool = await open({ partBytes: 100_000, orphanAfterMs: 3_600_000, monotonicMs: () => nowMs });
  const draft = spool.draft();
  await draft.write(Buffer.alloc(350_000));
  await waitFor("a part", () => s3.requests.includes("PUT multipart"));
  await draft.discard();
  assert.equal(s3.uploads.size, 0);
  const long = Date.now() - 2 * 3_600_000;
  s3.uploads.set("dead", { key: "bodies/dead-1", parts: new Map(), startedMs: long });
  s3.objects.set("bodies/dead-2", { bytes: Buffer.alloc(1000), modifiedMs: long });
  s3.objects.set("bodies/young-1", { bytes: Buffer.alloc(1000), modifiedMs: Date.now() });
  const { meta } = await store(spool, Buffer.alloc(100_000));
  for (const { key, object } of [...s3.objects].map(([key, object]) => ({ key, object })))
    if (key.startsWith("bodies/") && !key.includes("young")) object.modifiedMs = long;
  await spool.collect();
  assert.equal(s3.uploads.size, 0);
  assert.equal(keys("bodies/").length, 3);
  nowMs += 3_600_000;
  await spool.collect();
  assert.ok(!keys("bodies/").includes("bodies/dead-2"));
  assert.equal(keys("bodies/").length, 2);
  assert.ok(await spool.read(meta.id));
});

test("a worker on the writer's host reads nothing from the store, one on another host a part of the object", async (t) => {
  const { store: s3, open, directory } = await makeS3Fixture(t);
  const host = directory();
  const ingress = await open({ directory: host });
  const stored = await Promise.all(
    [..."abcdefgh"].map((letter) => store(ingress, letter.repeat(letter === "h" ? 100_000 : 1000))),
  );
  const worker = await open({ directory: host });
  const reads = (): number =>
    s3.requests.filter((request) => /^(GET|HEAD) (messages|bodies)/.test(request)).length;
  for (const each of stored) assert.match(await textOf(worker, each), /^[a-h]+$/);
  assert.equal(reads(), 0);
  const remote = await open();
  await textOf(remote, stored[0] ?? assert.fail());
  assert.equal(reads(), 1);
});

test("local copies stay within their bound, and a damaged one is not believed", async (t) => {
  const { open, directory } = await makeS3Fixture(t);
  const host = directory();
  const spool = await open({ directory: host, cacheBytes: 40_000 });
  const stored: StoredMessage[] = [];
  for (let n = 0; n < 30; n++) stored.push(await store(spool, Buffer.alloc(4000, n)));
  const { readdirSync, statSync, writeFileSync } = await import("node:fs");
  const copies = (): string[] => readdirSync(host).filter((name) => !name.startsWith("."));
  const bytes = (): number => copies().reduce((sum, name) => sum + statSync(`${host}/${name}`).size, 0);
  await waitFor("old copies to go", () => bytes() <= 60_000);
  for (const name of copies()) writeFileSync(`${host}/${name}`, Buffer.alloc(5000, "x"));
  for (const each of stored) assert.equal((await textOf(spool, each)).length, 4000);
});

test("damage in an object is reported, keeps to its message, and stays for the operator", async (t) => {
  const { store: s3, faults, open, keys } = await makeS3Fixture(t);
  const spool = await open({ batchMs: 100 });
  const [first, second] = await Promise.all([store(spool, "first"), store(spool, "second")]);
  const [key = ""] = keys("messages/");
  const object = s3.objects.get(key) ?? assert.fail();
  object.bytes = Buffer.from(object.bytes);
  // Within the envelope of the first message.
  object.bytes[first.locator.offset + 60] = (object.bytes[first.locator.offset + 60] ?? 0) ^ 1;
  const other = await open();
  assert.equal(await textOf(other, second), "second");
  const unreadable: string[] = [];
  const ids: string[] = [];
  for await (const { meta } of other.unsettled({ onUnreadable: ({ id }) => unreadable.push(id) }))
    ids.push(meta.id);
  assert.deepEqual(ids, [second.meta.id]);
  assert.equal(unreadable.length, 1);
  assert.ok(faults.some(({ kind }) => kind === "damaged"));
  await settle(other, [first, second]);
  await other.settle([{ id: unreadable[0] ?? "", recipients: [0], state: { kind: "removed" } }]);
  await other.collect();
  assert.deepEqual(keys("messages/"), []);
  assert.equal(keys("damaged/").length, 1);
});
