import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { SpoolFault } from "../../../shared/spool/fault.ts";
import { nodeFiles } from "../../../shared/spool/fs/disk/files.ts";
import { placesIn } from "../../../shared/spool/fs/disk/names.ts";
import { parseHeartbeat, unlessFenced, WriterHeartbeat } from "../../../shared/spool/fs/writers/heartbeat.ts";
import { SpoolUnavailable } from "../../../shared/spool/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

function startHeartbeat(t: TestContext, heartbeatMs = 3_600_000) {
  const places = placesIn(makeSpoolFixture(t).directory);
  mkdirSync(places.writers);
  const faults: SpoolFault[] = [];
  const heartbeat = new WriterHeartbeat({
    files: nodeFiles,
    places,
    heartbeatMs,
    onFault: (fault) => faults.push(fault),
    nowMs: () => 1_700_000_000_000,
  });
  t.after(() => heartbeat.close());
  const files = () => readdirSync(places.writers);
  const line = () => parseHeartbeat(readFileSync(join(places.writers, files()[0] ?? ""), "latin1"));
  return { heartbeat, faults, files, line, places };
}

test("a writer has one name, a file under it that changes, and none after it has closed", async (t) => {
  const { heartbeat, files, line } = startHeartbeat(t, 5);
  const name = await heartbeat.name();
  assert.equal(await heartbeat.name(), name);
  assert.deepEqual(files(), [name]);
  assert.ok(heartbeat.isCurrent(name));
  assert.equal(await heartbeat.isFenced(name), false);
  await waitFor("the line to change", () => (line()?.beat ?? 0) > 3);
  await heartbeat.close();
  assert.deepEqual(files(), []);
  assert.ok(heartbeat.isOwn(name) && !heartbeat.isCurrent(name));
});

test("a writer whose heartbeat file was removed is fenced and takes a new name", async (t) => {
  const { heartbeat, faults, files, places } = startHeartbeat(t);
  const name = await heartbeat.name();
  unlinkSync(join(places.writers, name));
  assert.equal(await heartbeat.isFenced(name), true);
  assert.deepEqual(faults, [{ kind: "fenced", writer: name }]);
  const next = await heartbeat.name();
  assert.notEqual(next, name);
  assert.deepEqual(files(), [next]);
  assert.ok(heartbeat.isOwn(name));
});

test("what is on stable storage is in the line at once, and is not announced under a name that was removed", async (t) => {
  const { heartbeat, line, files, places } = startHeartbeat(t);
  const segment = async () => ({
    writer: await heartbeat.name(),
    openedMs: heartbeat.nextOpenedMs(),
    settling: false,
  });
  const first = await segment();
  assert.equal(await heartbeat.announceSynced(first, 4711), true);
  assert.deepEqual(line()?.synced, [first.openedMs, 4711]);
  unlinkSync(join(places.writers, first.writer));
  assert.equal(await heartbeat.announceSynced(first, 5000), false);
  assert.deepEqual(files(), [], "the file is not made again");
  assert.equal(await heartbeat.announceSynced(first, 5001), false);
  const second = await segment();
  assert.equal(await heartbeat.announceSynced(second, 12), true);
  assert.deepEqual(line()?.synced, [second.openedMs, 12]);
});

test("files are announced as finished with all of their kind that were opened before", async (t) => {
  const { heartbeat, line } = startHeartbeat(t);
  const writer = await heartbeat.name();
  const file = () => ({ writer, openedMs: heartbeat.nextOpenedMs(), settling: false });
  const [first, second, third] = [file(), file(), file()];
  heartbeat.announceFinished("segment", second);
  assert.deepEqual(
    [first, second, third].map((one) => heartbeat.isFinished("segment", one)),
    [true, true, false],
  );
  assert.equal(heartbeat.isFinished("log", first), false);
  await waitFor("the announcement", () => line()?.segmentsFrom === second.openedMs + 1);
  assert.equal(line()?.logsFrom, 0);
});

test("a write is repeated while its writer was fenced, and given up when it always is", async () => {
  const attempts: number[] = [];
  const write = (succeedsAt: number) => async (attempt: number) => {
    attempts.push(attempt);
    return attempt === succeedsAt ? "written" : undefined;
  };
  assert.equal(await unlessFenced(3, write(2)), "written");
  assert.deepEqual(attempts.splice(0), [1, 2]);
  await assert.rejects(unlessFenced(3, write(4)), SpoolUnavailable);
  assert.deepEqual(attempts, [1, 2, 3]);
});
