/** A disk that cannot read one file, or one sector of it: everything else goes on. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { FsSpoolOptions } from "../../../shared/spool/fs/options.ts";
import { type Spool, SpoolUnavailable, type StoredMessage } from "../../../shared/spool/spool.ts";
import { someMeta, store, unsettledIds } from "../../contract/spool.ts";
import { badSector, type FaultyFiles, failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const idsOf = (messages: StoredMessage[]) => messages.map(({ meta }) => meta.id);
const list = (directory: string, place: string) => readdirSync(join(directory, place)).sort();

async function settle(spool: Spool, ...messages: StoredMessage[]): Promise<void> {
  await spool.settle(
    messages.map(({ meta }) => ({ id: meta.id, recipients: [0], state: { kind: "delivered" } })),
  );
}

/** @returns messages in segments of their own, and a spool with a disk that the test can break */
async function given(t: TestContext, count: number, octets: number, options: Partial<FsSpoolOptions> = {}) {
  const fixture = makeSpoolFixture(t, { segmentBytes: 1, ...options });
  const writing = fixture.open();
  const stored: StoredMessage[] = [];
  for (let n = 0; n < count; n++) stored.push(await store(writing, `${n}`.padEnd(octets)));
  await writing.close();
  const disk = faultyFiles();
  const spool = fixture.open({ files: disk.files });
  return { fixture, disk, spool, stored };
}

/** Breaks the file of a message's segment. */
function breakSegment(disk: FaultyFiles, { locator }: StoredMessage): string {
  disk.decide = badSector(disk, new RegExp(`${locator.segment}\\.seg$`));
  return `segments/${locator.segment}.seg`;
}

test("an unreadable segment is named once, and the mail in all others is listed", async (t) => {
  const { fixture, disk, spool, stored } = await given(t, 4, 100);
  const place = breakSegment(disk, stored[0] as StoredMessage);
  for (let n = 0; n < 3; n++) assert.deepEqual(await unsettledIds(spool), idsOf(stored.slice(1)));
  const unreadable = fixture.faults.filter(({ kind }) => kind === "unreadable");
  assert.deepEqual(
    unreadable.map((fault) => "place" in fault && fault.place),
    [place],
  );
  assert.deepEqual(spool.faults(), [{ place, reason: "EIO: injected" }]);
  disk.decide = () => "do";
  assert.deepEqual(await unsettledIds(spool), idsOf(stored));
  assert.deepEqual(spool.faults(), []);
});

test("of a segment with one bad sector the mail outside of it is listed, and nothing counts as damaged", async (t) => {
  const { fixture, disk, spool, stored } = await given(t, 100, 900, { segmentBytes: 1_000_000 });
  const broken = stored[50] as StoredMessage;
  const from = broken.locator.offset - (broken.locator.offset % 4096);
  disk.decide = badSector(disk, /\.seg$/, { from, to: from + 4096 });
  const lost = stored.filter(
    ({ locator }) => locator.offset < from + 4096 && locator.offset + locator.length > from,
  );
  const listed = await unsettledIds(spool);
  for (const { meta } of stored)
    if (!lost.some((each) => each.meta.id === meta.id)) assert.ok(listed.includes(meta.id));
  assert.ok(!listed.includes(broken.meta.id));
  assert.deepEqual(
    fixture.faults.map(({ kind }) => kind),
    ["unreadable"],
  );
});

test("an unreadable segment does not keep settled ones, and nothing is forgotten of its own mail", async (t) => {
  const { fixture, disk, spool, stored } = await given(t, 4, 100, { forgetAfterMs: 0, logBytes: 1 });
  await settle(spool, ...stored);
  const segment = (stored[0] as StoredMessage).locator.segment;
  breakSegment(disk, stored[0] as StoredMessage);
  assert.equal((await spool.collect()).segmentsRemoved, 3);
  for (let n = 0; n < 3; n++) await spool.collect();
  assert.deepEqual(list(fixture.directory, "segments"), [`${segment}.seg`]);
  assert.ok(list(fixture.directory, "settled").length > 0);
  disk.decide = () => "do";
  assert.deepEqual(await unsettledIds(spool), []);
  await spool.collect();
  assert.deepEqual(list(fixture.directory, "segments"), []);
});

test("a moved message that cannot be read is passed by", async (t) => {
  const { disk, spool, stored } = await given(t, 3, 100, { moveAfterMs: 0, moveShare: 1 });
  assert.equal((await spool.collect()).messagesMoved, 3);
  const [first] = stored as [StoredMessage];
  disk.decide = badSector(disk, new RegExp(`${first.meta.id}\\.msg$`));
  assert.deepEqual((await unsettledIds(spool)).toSorted(), idsOf(stored.slice(1)).toSorted());
  await assert.rejects(spool.read(first.meta.id), SpoolUnavailable);
  assert.deepEqual(
    spool.faults().map(({ place }) => place),
    [`own/${first.meta.id}.msg`],
  );
});

test("a message that is not found although not everything could be read may be there all the same", async (t) => {
  const { disk, spool, stored } = await given(t, 2, 100);
  const [first, second] = stored as [StoredMessage, StoredMessage];
  breakSegment(disk, first);
  await assert.rejects(spool.read(first.meta.id), SpoolUnavailable);
  assert.deepEqual(await spool.readMeta(second.meta.id), second.meta);
});

test("an unreadable status log is passed by, kept, and read again once the disk can", async (t) => {
  const { fixture, disk, stored } = await given(t, 1, 100, { forgetAfterMs: 0 });
  const settling = fixture.open();
  await settle(settling, ...stored);
  await settling.close();
  const other = fixture.open();
  await other.settle([{ id: "OTHER", recipients: [0], state: { kind: "removed" } }]);
  const [log] = list(fixture.directory, "settled");
  disk.decide = badSector(disk, new RegExp(`${log}$`));
  const spool = fixture.open({ files: disk.files });
  assert.equal((await spool.states("OTHER")).get(0)?.kind, "removed");
  assert.deepEqual(await unsettledIds(spool), idsOf(stored), "its mail is delivered again rather than never");
  assert.deepEqual(
    spool.faults().map(({ place }) => place),
    [`settled/${log}`],
  );
  for (let n = 0; n < 3; n++) await spool.collect();
  assert.ok(list(fixture.directory, "settled").includes(log ?? ""));
  disk.decide = () => "do";
  const later = performance.now() + 60_000;
  t.mock.method(performance, "now", () => later);
  assert.equal((await spool.states(stored[0]?.meta.id ?? "", true)).get(0)?.kind, "delivered");
  assert.deepEqual(spool.faults(), []);
});

test("a scan right after a short failure of the disk delivers nothing again", async (t) => {
  const { fixture, disk, stored } = await given(t, 1, 100);
  const settling = fixture.open();
  await settle(settling, ...stored);
  await settling.close();
  disk.decide = badSector(disk, /\.log$/);
  const spool = fixture.open({ files: disk.files });
  for (let n = 0; n < 4; n++) assert.equal((await spool.states(stored[0]?.meta.id ?? "", true)).size, 0);
  disk.decide = () => "do";
  assert.deepEqual(await unsettledIds(spool), []);
});

test("a status log is read again soon after its first failure, and less and less often after many", async (t) => {
  const { fixture, disk, stored } = await given(t, 1, 100, { followMs: 1e9 });
  const settling = fixture.open();
  await settle(settling, ...stored);
  await settling.close();
  let reads = 0;
  const bad = badSector(disk, /\.log$/);
  disk.decide = (call, args) => {
    const effect = bad(call, args);
    if (effect !== "do") reads++;
    return effect;
  };
  const startMs = Math.ceil(performance.now());
  let nowMs = startMs;
  t.mock.method(performance, "now", () => nowMs);
  const spool = fixture.open({ files: disk.files });
  const readAtMs: number[] = [];
  for (; nowMs < startMs + 60_000; nowMs += 250) {
    const before = reads;
    await spool.states("ANY", true);
    if (reads > before) readAtMs.push(nowMs - startMs);
  }
  assert.deepEqual(readAtMs, [0, 500, 1500, 3500, 7500, 15_500, 25_500, 35_500, 45_500, 55_500]);
});

test("of a status log with one bad sector everything outside of it counts", async (t) => {
  const fixture = makeSpoolFixture(t);
  const settling = fixture.open();
  for (let n = 0; n < 400; n++)
    await settling.settle([{ id: `M${n}`, recipients: [0], state: { kind: "delivered" } }]);
  await settling.close();
  const disk = faultyFiles();
  disk.decide = badSector(disk, /\.log$/, { from: 4096, to: 8192 });
  const spool = fixture.open({ files: disk.files });
  assert.equal((await spool.states("M0")).get(0)?.kind, "delivered");
  assert.equal((await spool.states("M399")).get(0)?.kind, "delivered");
  assert.equal((await spool.states("M180")).size, 0);
});

test("an unreadable heartbeat does not stop anybody: its writer is taken for dead in time", async (t) => {
  const fixture = makeSpoolFixture(t);
  const stored = await store(fixture.open(), "x");
  const disk = faultyFiles();
  disk.decide = badSector(disk, /writers\//);
  const spool = fixture.open({ files: disk.files });
  assert.deepEqual(await unsettledIds(spool), [stored.meta.id]);
});

test("a message to be moved for which there is no space does not keep settled segments", async (t) => {
  const { fixture, disk, spool } = await given(t, 0, 0, { moveAfterMs: 0, moveShare: 1, segmentBytes: 3000 });
  const writing = fixture.open();
  const stored: StoredMessage[] = [];
  for (let n = 0; n < 60; n++) stored.push(await store(writing, `${n}`.padEnd(100)));
  await writing.close();
  await settle(spool, ...stored.slice(1));
  disk.decide = (call, args) =>
    call === "open" && args[1] === "wx" && String(args[0]).includes("/moving/") ? failure("ENOSPC") : "do";
  const before = list(fixture.directory, "segments").length;
  assert.equal((await spool.collect()).segmentsRemoved, before - 1);
  assert.ok(fixture.faults.some(({ kind }) => kind === "background"));
  disk.decide = () => "do";
  assert.equal((await spool.collect()).messagesMoved, 1);
  assert.deepEqual(list(fixture.directory, "segments"), []);
  assert.deepEqual(await unsettledIds(spool), [stored[0]?.meta.id]);
});

test("a large body goes when its message is settled, although another message keeps their segment", async (t) => {
  const fixture = makeSpoolFixture(t, { largeBytes: 1000, forgetAfterMs: 0 });
  const writing = fixture.open();
  const large = await store(writing, "l".padEnd(5000));
  const neighbour = await store(writing, "waits", someMeta(2));
  await writing.close();
  const spool = fixture.open();
  assert.equal((await spool.collect()).bytesFreed, 0);
  await settle(spool, large, neighbour);
  assert.equal((await spool.collect()).bytesFreed, 5000);
  assert.deepEqual(list(fixture.directory, "large"), []);
  assert.equal(await spool.read(large.meta.id, large.locator), undefined, "it is settled, not damaged");
  assert.deepEqual(await unsettledIds(spool), [neighbour.meta.id]);
  const careful = fixture.open({ forgetAfterMs: 60_000 });
  const another = fixture.open();
  const late = await store(another, "m".padEnd(5000));
  await store(another, "waits", someMeta(2));
  await another.close();
  await settle(careful, late);
  await careful.collect();
  assert.equal(list(fixture.directory, "large").length, 1, "its settlement may not be on stable storage yet");
});
