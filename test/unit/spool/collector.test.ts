import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type {
  Spool,
  StoredMessage,
  SummarizedMessage,
  UnreadableMessage,
} from "../../../shared/spool/spool.ts";
import { SpoolCorrupt } from "../../../shared/spool/spool.ts";
import { someDiagnosis, someMeta, store, textOf, unsettledIds } from "../../contract/spool.ts";
import { flipBit } from "../../support/damage.ts";
import { waitFor } from "../../support/wait-for.ts";
import { badSector, type FaultyFiles, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const list = (directory: string, place: string) => readdirSync(join(directory, place)).sort();

async function settle(spool: Spool, ...messages: StoredMessage[]): Promise<void> {
  await spool.settle(
    messages.map(({ meta }) => ({
      id: meta.id,
      recipients: meta.envelope.recipients.map((_, n) => n),
      state: { kind: "delivered" },
    })),
  );
}

async function storeMany(spool: Spool, count: number, octets = 100): Promise<StoredMessage[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => store(spool, `${n}`.padEnd(octets))));
}

/** Messages of a process that has ended. */
async function storedBefore(
  fixture: ReturnType<typeof makeSpoolFixture>,
  count: number,
): Promise<StoredMessage[]> {
  const first = fixture.open();
  const all = await storeMany(first, count);
  await first.close();
  return all;
}

test("a closed segment is removed when all its messages are settled, and not before", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1000, largeBytes: 2000 });
  const spool = fixture.open();
  const [a, b] = [await store(spool, "a".padEnd(1500)), await store(spool, "b".padEnd(5000))];
  await store(spool, "c".padEnd(1500));
  assert.equal((await spool.collect()).segmentsRemoved, 0);
  await settle(spool, a, b);
  const report = await spool.collect();
  assert.equal(report.segmentsRemoved, 1, "a's; b's is still open, since its body is in another file");
  assert.ok(report.bytesFreed > 1500);
  assert.equal(await spool.read(a.meta.id, a.locator), undefined);
});

test("a large body is removed with its segment", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 600, largeBytes: 2000 });
  const spool = fixture.open();
  const [a, b] = [await store(spool, "a".padEnd(5000)), await store(spool, "b".padEnd(5000))];
  assert.equal(a.locator.segment, b.locator.segment);
  await settle(spool, a);
  await spool.collect();
  assert.equal(list(fixture.directory, "large").length, 2);
  await settle(spool, b);
  assert.ok((await spool.collect()).bytesFreed > 10_000);
  assert.deepEqual(list(fixture.directory, "large"), []);
  assert.deepEqual(list(fixture.directory, "segments"), []);
});

test("a segment that is still written is not removed, nor is another process'", async (t) => {
  const fixture = makeSpoolFixture(t);
  const [one, other] = [fixture.open(), fixture.open()];
  await settle(one, ...(await storeMany(one, 3)));
  for (const spool of [one, other]) assert.equal((await spool.collect()).segmentsRemoved, 0);
  await one.close();
  assert.equal((await other.collect()).segmentsRemoved, 1);
});

test("mail that has waited long is moved out of an otherwise settled segment, and is read by its old locator", async (t) => {
  let nowMs = Date.now();
  const fixture = makeSpoolFixture(t, {
    segmentBytes: 30_000,
    moveAfterMs: 600_000,
    moveShare: 0.1,
    largeBytes: 5000,
    nowMs: () => nowMs,
  });
  const spool = fixture.open();
  const all = [
    ...(await storeMany(spool, 18)),
    await store(spool, "waits".padEnd(9000, ".")),
    await store(spool, "waits too", someMeta(2)),
  ];
  await store(spool, Buffer.alloc(4999));
  await storeMany(spool, 10, 4000);
  const [large, small] = all.slice(18) as [StoredMessage, StoredMessage];
  await settle(spool, ...all.slice(0, 16));
  await spool.settle([
    { id: small.meta.id, recipients: [1], state: { kind: "failed", diagnosis: someDiagnosis } },
  ]);
  assert.deepEqual(await spool.collect(), { segmentsRemoved: 0, messagesMoved: 0, bytesFreed: 0 });
  nowMs += 600_000;
  assert.equal((await spool.collect()).messagesMoved, 0, "too many of them are unsettled");
  await settle(spool, ...all.slice(16, 18));
  await spool.settle([]);
  const others = (await unsettledIds(spool)).filter((id) => id !== large.meta.id && id !== small.meta.id);
  await spool.settle(others.slice(0, -1).map((id) => ({ id, recipients: [0], state: { kind: "removed" } })));
  const report = await spool.collect();
  assert.ok(report.segmentsRemoved >= 1);
  assert.ok(list(fixture.directory, "own").includes(`${large.meta.id}.msg`));
  assert.equal(await spool.read(all[0]?.meta.id ?? "", all[0]?.locator), undefined);
  for (const reader of [spool, fixture.open()]) {
    assert.equal(await textOf(reader, large), "waits".padEnd(9000, "."));
    assert.equal(await textOf(reader, small), "waits too");
    assert.equal((await reader.states(small.meta.id)).get(1)?.kind, "failed");
    const unsettled = await unsettledIds(reader);
    assert.deepEqual(unsettled.toSorted(), [large.meta.id, small.meta.id, ...others.slice(-1)].toSorted());
    for await (const { meta, locator } of reader.unsettled())
      assert.ok(await reader.read(meta.id, locator), "the new locator is valid, too");
    assert.ok(await reader.read(small.meta.id));
  }
  await settle(spool, large, small);
  await spool.collect();
  assert.ok(!list(fixture.directory, "own").includes(`${large.meta.id}.msg`));
  assert.deepEqual(list(fixture.directory, "large"), []);
  assert.equal(await spool.read(small.meta.id, small.locator), undefined);
});

test("mail is moved out of an old segment although the clock was set back since", async (t) => {
  let ageMs = 0;
  const fixture = makeSpoolFixture(t, { moveShare: 1 });
  const first = fixture.open();
  await storeMany(first, 3);
  await first.close();
  const spool = fixture.open({ nowMs: () => Date.now() - 86_400_000, monotonicMs: () => ageMs });
  assert.equal((await spool.collect()).messagesMoved, 0);
  ageMs += 600_000;
  assert.equal((await spool.collect()).messagesMoved, 3);
});

test("settlements are kept until their messages have been gone for a while, then their logs are removed", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1, logBytes: 1, forgetAfterMs: 0 });
  const careful = fixture.open({ forgetAfterMs: 60_000 });
  const all = await storeMany(careful, 5);
  for (const message of all) await settle(careful, message);
  assert.equal(list(fixture.directory, "settled").length, 5);
  await careful.collect();
  await careful.collect();
  assert.deepEqual(list(fixture.directory, "segments"), []);
  assert.equal(list(fixture.directory, "settled").length, 5, "a reader may just have read one of them");
  const hasty = fixture.open();
  await hasty.collect();
  await hasty.collect();
  assert.deepEqual(list(fixture.directory, "settled"), []);
  // Other processes forget them too.
  for (let n = 0; n < 3; n++) await careful.states("x", true);
  assert.equal((await careful.states(all[0]?.meta.id ?? "")).size, 0);
});

test("a log that is still written is kept when its process has closed its segments", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1, forgetAfterMs: 0 });
  const [writing, other] = [fixture.open(), fixture.open()];
  const message = await store(writing, "x");
  await settle(writing, message);
  await store(writing, "a second segment, so that the first is known to be closed");
  await waitFor("the segment to go", async () => (await other.collect()).segmentsRemoved > 0);
  for (let n = 0; n < 3; n++) await other.collect();
  assert.equal(list(fixture.directory, "settled").length, 1);
  await writing.settle([{ id: "late", recipients: [0], state: { kind: "delivered" } }]);
  assert.equal((await other.states("late", true)).size, 1);
});

test("what is still needed of a mostly obsolete log is written again with the same meaning", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 6000, logBytes: 2000, forgetAfterMs: 0 });
  const first = fixture.open();
  const waiting = await store(first, "waits", someMeta(3));
  const all = await storeMany(first, 60);
  await first.settle([
    { id: waiting.meta.id, recipients: [0], state: { kind: "delivered" } },
    { id: waiting.meta.id, recipients: [1], state: { kind: "failed", diagnosis: someDiagnosis } },
  ]);
  for (const message of all) await settle(first, message);
  await first.settle([{ id: waiting.meta.id, recipients: [1], state: { kind: "pending" } }]);
  await first.close();
  const second = fixture.open({ moveAfterMs: 0 });
  const before = list(fixture.directory, "settled");
  for (let n = 0; n < 4; n++) await second.collect();
  await second.close();
  assert.ok(before.length >= 2);
  assert.ok(!list(fixture.directory, "settled").includes(before[0] ?? ""));
  const third = fixture.open();
  assert.deepEqual(
    [...(await third.states(waiting.meta.id))].map(([n, { kind }]) => [n, kind]),
    [
      [0, "delivered"],
      [1, "pending"],
    ],
  );
  assert.deepEqual(await unsettledIds(third), [waiting.meta.id]);
});

test("many small logs are joined although all of their content is needed", async (t) => {
  const fixture = makeSpoolFixture(t, { forgetAfterMs: 0 });
  const waiting: StoredMessage[] = [];
  for (let n = 0; n < 20; n++) {
    const spool = fixture.open();
    const message = await store(spool, "waits", someMeta(2));
    waiting.push(message);
    await spool.settle([{ id: message.meta.id, recipients: [0], state: { kind: "delivered" } }]);
    await spool.close();
  }
  const spool = fixture.open();
  for (let n = 0; n < 3; n++) await spool.collect();
  assert.ok(list(fixture.directory, "settled").length <= 2);
  const again = fixture.open();
  for (const { meta } of waiting) assert.equal((await again.states(meta.id)).size, 1);
});

test("a settlement that only a record implies is recorded before the record is removed", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1, forgetAfterMs: 0 });
  const first = fixture.open();
  const reported = await store(first, "x", someMeta(2));
  const settles = { id: reported.meta.id, recipients: [0], state: { kind: "bounced" as const } };
  const notification = await store(first, "a notification", someMeta(), settles);
  await first.close();
  // As if its process had died before it could record the settlement in a log.
  for (const log of list(fixture.directory, "settled"))
    writeFileSync(join(fixture.directory, "settled", log), "");
  const second = fixture.open();
  await settle(second, notification);
  for (let n = 0; n < 3; n++) await second.collect();
  assert.equal(list(fixture.directory, "segments").length, 1);
  await second.close();
  assert.equal((await fixture.open().states(reported.meta.id)).get(0)?.kind, "bounced");
});

test("a segment with a damaged record is put aside, and the message still reads as damaged", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 3000 });
  const all = await storedBefore(fixture, 10);
  const segment = list(fixture.directory, "segments")[0] ?? "";
  const path = join(fixture.directory, "segments", segment);
  const octets = readFileSync(path);
  const damaged = all[4] as StoredMessage;
  octets[damaged.locator.offset + 50] = 0;
  writeFileSync(path, octets);
  const second = fixture.open();
  await settle(second, ...all.filter((message) => message !== damaged));
  await second.collect();
  assert.deepEqual(list(fixture.directory, "damaged"), [segment]);
  assert.ok(fixture.faults.some(({ kind }) => kind === "damaged"));
  assert.ok(second.counters.damages > 0);
  await assert.rejects(second.read(damaged.meta.id, damaged.locator), SpoolCorrupt);
});

test("a message with a damaged envelope is listed apart, and keeps its segment until it is settled", async (t) => {
  const fixture = makeSpoolFixture(t, { moveAfterMs: 0, moveShare: 1 });
  const first = fixture.open();
  const stored = await store(first, "damaged", someMeta(3));
  const other = await store(first, "x");
  await first.close();
  flipBit(fixture.directory, stored, 80);
  const second = fixture.open();
  await settle(second, other);
  const { id } = stored.meta;
  const listed: UnreadableMessage[] = [];
  const walk = { onUnreadable: (message: UnreadableMessage) => void listed.push(message) };
  for await (const { meta } of second.unsettled(walk)) assert.fail(`${meta.id} is not readable`);
  assert.deepEqual(listed, [{ id, locator: stored.locator, states: new Map(), recipients: 3 }]);
  await assert.rejects(second.readMeta(id, stored.locator), { name: "SpoolCorrupt", recipients: 3 });
  assert.equal((await second.collect()).segmentsRemoved, 0);
  await settle(second, stored);
  assert.equal((await second.collect()).segmentsRemoved, 1);
  for await (const _ of second.unsettled(walk)) assert.fail("all is settled");
  assert.equal(listed.length, 1);
});

test("the envelope of a message with a damaged body is read all the same", async (t) => {
  const fixture = makeSpoolFixture(t);
  const spool = fixture.open();
  const stored = await store(spool, "b".padEnd(5000));
  flipBit(fixture.directory, stored, -1);
  await assert.rejects(spool.read(stored.meta.id, stored.locator), SpoolCorrupt);
  assert.deepEqual(await spool.readMeta(stored.meta.id, stored.locator), stored.meta);
  assert.deepEqual(await spool.readMeta(stored.meta.id), stored.meta);
});

test("a message with a damaged body is not moved, and its segment is kept", async (t) => {
  const fixture = makeSpoolFixture(t, { moveAfterMs: 0, moveShare: 1 });
  const all = await storedBefore(fixture, 5);
  const path = join(fixture.directory, "segments", list(fixture.directory, "segments")[0] ?? "");
  const octets = readFileSync(path);
  const damaged = all[1] as StoredMessage;
  octets[damaged.locator.offset + damaged.locator.length - 1] = 0;
  writeFileSync(path, octets);
  const second = fixture.open();
  assert.equal((await second.collect()).segmentsRemoved, 0);
  await assert.rejects(second.read(damaged.meta.id, damaged.locator), SpoolCorrupt);
  assert.equal(await textOf(second, all[2] as StoredMessage), "2".padEnd(100));
});

test("a moved message whose file is damaged is kept for the operator", async (t) => {
  const fixture = makeSpoolFixture(t, { moveAfterMs: 0, moveShare: 1, largeBytes: 1000, orphanAfterMs: 0 });
  const first = fixture.open();
  const message = await store(first, "m".padEnd(5000));
  await first.close();
  const second = fixture.open();
  assert.equal((await second.collect()).messagesMoved, 1);
  const path = join(fixture.directory, "own", `${message.meta.id}.msg`);
  const octets = readFileSync(path);
  octets[10] = (octets[10] ?? 0) ^ 1;
  writeFileSync(path, octets);
  const third = fixture.open();
  await settle(third, message);
  for (let n = 0; n < 2; n++) await third.collect();
  assert.deepEqual(list(fixture.directory, "own"), [`${message.meta.id}.msg`]);
  assert.equal(list(fixture.directory, "large").length, 1, "the damaged record may refer to it");
});

test("bodies without a record are removed when they are old and their writer is gone", async (t) => {
  const fixture = makeSpoolFixture(t, { largeBytes: 1000, orphanAfterMs: 3_600_000 });
  const spool = fixture.open();
  const kept = await store(spool, "k".padEnd(5000));
  const draft = spool.draft();
  await draft.write(Buffer.alloc(5000));
  await draft.write(Buffer.alloc(5000));
  await settle(spool, await store(spool, "x"));
  const old = new Date(Date.now() - 7_200_000);
  const orphan = join(fixture.directory, "large", "aaaaaaaaaaaa-1.body");
  const young = join(fixture.directory, "large", "aaaaaaaaaaaa-2.body");
  for (const path of [orphan, young]) writeFileSync(path, "left behind");
  for (const name of list(fixture.directory, "large"))
    if (!young.endsWith(name)) utimesSync(join(fixture.directory, "large", name), old, old);
  await spool.collect();
  const left = list(fixture.directory, "large");
  assert.equal(left.length, 3, "the stored body, the open draft's and the young one");
  assert.ok(!left.includes("aaaaaaaaaaaa-1.body"));
  assert.equal((await textOf(spool, kept)).length, 5000);
  await draft.discard();
  await spool.close();
  const again = fixture.open();
  await again.collect();
  assert.equal(
    (await textOf(again, kept)).length,
    5000,
    "its writer is gone and it is old, but it has its record",
  );
});

test("a second collector gives way to the first", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1 });
  const [one, other] = [fixture.open(), fixture.open()];
  await settle(one, ...(await storeMany(one, 3)));
  await Promise.all([one.states("x", true), other.states("x", true)]);
  const reports = await Promise.all([one.collect(), other.collect(), one.collect()]);
  assert.ok(reports.reduce((sum, { segmentsRemoved }) => sum + segmentsRemoved, 0) <= 2);
  await other.collect();
  assert.deepEqual(list(fixture.directory, "segments"), []);
  assert.deepEqual(list(fixture.directory, "moving"), []);
});

test("a message that is moved during unsettled() is listed once", async (t) => {
  const fixture = makeSpoolFixture(t, { moveAfterMs: 0, moveShare: 1 });
  const all = await storedBefore(fixture, 5);
  const spool = fixture.open();
  const ids: string[] = [];
  for await (const { meta } of spool.unsettled()) {
    ids.push(meta.id);
    if (ids.length === 5) assert.equal((await spool.collect()).messagesMoved, 5);
  }
  assert.deepEqual(
    ids,
    all.map(({ meta }) => meta.id),
  );
  assert.deepEqual((await unsettledIds(spool)).toSorted(), ids.toSorted());
});

test("a walk that goes on finds what was moved since out of the segment where it stopped, and behind a moved message", async (t) => {
  const fixture = makeSpoolFixture(t, { moveAfterMs: 0, moveShare: 1 });
  const all = await storedBefore(fixture, 6);
  const spool = fixture.open();
  const behind = async ({ meta, locator }: StoredMessage): Promise<string[]> => {
    const ids: string[] = [];
    for await (const found of spool.unsettled({ after: { id: meta.id, locator } })) ids.push(found.meta.id);
    return ids;
  };
  const ids = all.map(({ meta }) => meta.id);
  const [, , third] = all;
  assert.ok(third);
  assert.deepEqual(await behind(third), ids.slice(3));
  assert.equal((await spool.collect()).messagesMoved, 6);
  assert.deepEqual((await behind(third)).toSorted(), ids.toSorted(), "whatever its segment had");
  const moved: StoredMessage[] = [];
  for await (const found of spool.unsettled()) moved.push(found);
  for (const [index, each] of moved.entries())
    assert.deepEqual(
      await behind(each),
      moved.slice(index + 1).map(({ meta }) => meta.id),
    );
});

test("moved messages are read once: a walk that wants few of them reads few files", async (t) => {
  const fixture = makeSpoolFixture(t, { moveAfterMs: 0, moveShare: 1 });
  const all = await storedBefore(fixture, 50);
  const disk = faultyFiles();
  const spool = fixture.open({ files: disk.files });
  assert.equal((await spool.collect()).messagesMoved, 50);
  let opened = 0;
  disk.decide = (call, args) => {
    if (call === "open" && String(args[0]).endsWith(".msg")) opened++;
    return "do";
  };
  const wantedId = all[7]?.meta.id;
  const asked: string[] = [];
  const listed: string[] = [];
  const isWanted = async (messages: readonly SummarizedMessage[]) => {
    for (const { meta, states, locator } of messages) {
      asked.push(meta.id);
      assert.deepEqual([meta.parts, states.size], [[[0]], 0]);
      assert.deepEqual(locator.segment, "own");
    }
    return messages.map(({ meta }) => meta.id === wantedId);
  };
  for (let n = 0; n < 2; n++)
    for await (const { meta } of spool.unsettled({ isWanted })) listed.push(meta.id);
  assert.equal(asked.length, 100);
  assert.deepEqual(listed, [wantedId, wantedId]);
  assert.ok(opened <= 52, `${opened} files were opened`);
  await spool.collect();
  assert.ok(opened <= 52, "the collector knows them, too");
  await settle(spool, ...all.slice(0, 20));
  await spool.collect();
  asked.length = 0;
  for await (const _ of spool.unsettled({ isWanted }));
  assert.equal(asked.length, 30);
});

test("closing the spool interrupts its collector, and the next one does the rest", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1 });
  const spool = fixture.open();
  for (let n = 0; n < 20; n++) await settle(spool, await store(spool, `${n}`));
  const collecting = spool.collect();
  await Promise.resolve();
  await spool.close();
  assert.ok((await collecting).segmentsRemoved < 20);
  await fixture.open().collect();
  assert.deepEqual(list(fixture.directory, "segments"), []);
});

test("the files of a dead collector do not stop the next one", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1 });
  const spool = fixture.open();
  await settle(spool, ...(await storeMany(spool, 3)));
  mkdirSync(join(fixture.directory, "moving", "aaaaaaaaaaaa"));
  writeFileSync(join(fixture.directory, "moving", "aaaaaaaaaaaa", "M1.msg"), "half");
  await spool.collect();
  assert.deepEqual(list(fixture.directory, "segments"), []);
  assert.deepEqual(list(fixture.directory, "moving"), []);
});

/** Reads of segments from their beginning, by the spool of `disk`. */
function countReads(disk: FaultyFiles): () => number {
  let opened = 0;
  disk.decide = (call, args) => {
    if (call === "open" && String(args[0]).endsWith(".seg") && args[1] === "r") opened++;
    return "do";
  };
  return () => opened;
}

test("a segment with hundreds of messages goes when the last of them is settled, and is not read each time until then", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1_000_000 });
  const all = await storedBefore(fixture, 400);
  const disk = faultyFiles();
  const spool = fixture.open({ files: disk.files });
  const reads = countReads(disk);
  assert.equal((await spool.collect()).segmentsRemoved, 0);
  assert.equal(reads(), 1);
  for (let start = 0; start < 380; start += 20) {
    await settle(spool, ...all.slice(start, start + 20));
    assert.equal((await spool.collect()).segmentsRemoved, 0, `${start} are settled`);
  }
  assert.ok(reads() <= 3, `${reads()} reads`);
  await settle(spool, ...all.slice(380, 399));
  assert.equal((await spool.collect()).segmentsRemoved, 0, "one is left");
  await settle(spool, ...all.slice(399));
  assert.equal((await spool.collect()).segmentsRemoved, 1);
  assert.deepEqual(list(fixture.directory, "segments"), []);
});

test("of a segment with hundreds of messages none is lost when all that the collector remembers are settled", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1_000_000, moveAfterMs: 0 });
  const all = await storedBefore(fixture, 1000);
  const spool = fixture.open();
  await spool.collect();
  // Of a thousand it remembers those at equal distances: none with an odd number is among them.
  await settle(spool, ...all.filter((_, n) => n % 2 === 0));
  const odd = all.filter((_, n) => n % 2 === 1);
  assert.deepEqual(await spool.collect(), { segmentsRemoved: 0, messagesMoved: 0, bytesFreed: 0 });
  await settle(spool, ...odd.slice(80));
  const report = await spool.collect();
  assert.deepEqual([report.messagesMoved, report.segmentsRemoved], [80, 1]);
  const left = odd.slice(0, 80).map(({ meta }) => meta.id);
  assert.deepEqual((await unsettledIds(spool)).toSorted(), left.toSorted());
  for (const message of odd.slice(0, 80)) assert.equal((await textOf(spool, message)).length, 100);
});

test("a segment that cannot be read again is kept and named once, until it can", async (t) => {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1_000_000 });
  const all = await storedBefore(fixture, 200);
  const disk = faultyFiles();
  const spool = fixture.open({ files: disk.files });
  await spool.collect();
  await settle(spool, ...all);
  disk.decide = badSector(disk, /\.seg$/);
  for (let n = 0; n < 3; n++) assert.equal((await spool.collect()).segmentsRemoved, 0);
  assert.deepEqual(
    fixture.faults.map(({ kind }) => kind),
    ["unreadable"],
  );
  disk.decide = () => "do";
  assert.equal((await spool.collect()).segmentsRemoved, 1);
  assert.deepEqual(spool.faults(), []);
});

/** A bit flips in the header of a message that nobody has settled, after the collector has read its segment. */
for (const [how, count, left] of [
  ["when all others are settled", 200, 0],
  ["when all but a few others are settled, which are moved", 60, 3],
] as const)
  test(`a segment that was damaged since it was read is put aside, ${how}`, async (t) => {
    const fixture = makeSpoolFixture(t, { segmentBytes: 1_000_000, moveAfterMs: 0 });
    const all = await storedBefore(fixture, count);
    const spool = fixture.open();
    await spool.collect();
    const segment = list(fixture.directory, "segments");
    // Of 200 messages the collector remembers each fourth.
    const damaged = all[5] as StoredMessage;
    flipBit(fixture.directory, damaged, 10);
    const others = all.filter((message) => message !== damaged);
    await settle(spool, ...others.slice(left));
    await spool.collect();
    assert.deepEqual(
      list(fixture.directory, "segments"),
      segment,
      "a shared file system may show old octets",
    );
    await spool.collect();
    assert.deepEqual(list(fixture.directory, "damaged"), segment);
    assert.deepEqual(list(fixture.directory, "segments"), []);
    assert.deepEqual(
      fixture.faults.map(({ kind }) => kind),
      ["damaged"],
    );
    await assert.rejects(spool.read(damaged.meta.id, damaged.locator), SpoolCorrupt);
    const moved = others.slice(0, left).map(({ meta }) => meta.id);
    assert.deepEqual((await unsettledIds(spool)).toSorted(), moved.toSorted());
  });

test("a segment in which fewer records are found than before is left alone", async (t) => {
  for (const [count, left] of [
    [200, 0],
    [60, 3],
  ] as const) {
    const fixture = makeSpoolFixture(t, { segmentBytes: 1_000_000, moveAfterMs: 0 });
    const all = await storedBefore(fixture, count);
    const spool = fixture.open();
    await spool.collect();
    const segment = list(fixture.directory, "segments");
    const last = all[count - 1] as StoredMessage;
    const path = join(fixture.directory, "segments", segment[0] ?? "");
    const octets = readFileSync(path);
    // As a shared file system may show it for a moment, which the last message is not settled in.
    writeFileSync(path, octets.subarray(0, last.locator.offset));
    await settle(spool, ...all.slice(left, -1));
    for (let n = 0; n < 3; n++) await spool.collect();
    assert.deepEqual(list(fixture.directory, "segments"), segment);
    writeFileSync(path, octets);
    const waiting = [...all.slice(0, left), last].map(({ meta }) => meta.id);
    assert.deepEqual(await unsettledIds(spool), waiting);
    await spool.collect();
    assert.deepEqual((await unsettledIds(spool)).toSorted(), waiting.toSorted());
    assert.equal((await textOf(spool, last)).length, 100);
  }
});
