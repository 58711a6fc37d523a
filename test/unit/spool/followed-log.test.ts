import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { type TestContext, test } from "node:test";
import type { SpoolFault } from "../../../shared/spool/fault.ts";
import { FileFaults } from "../../../shared/spool/file-faults.ts";
import { BackgroundCloser } from "../../../shared/spool/fs/disk/files.ts";
import { logPath, placesIn } from "../../../shared/spool/fs/disk/names.ts";
import { FollowedLog } from "../../../shared/spool/fs/states/followed-log.ts";
import { LogicalClock } from "../../../shared/spool/recipient-state.ts";
import { formatBatch, formatLine } from "../../../shared/spool/records/status-format.ts";
import { StateIndex } from "../../../shared/spool/state-index.ts";
import { faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const name = "000000000-aaaaaaaaaaaa";
const batch = (id: string, timestamp: number) =>
  formatBatch(timestamp, formatLine({ id, recipients: [0], state: { kind: "delivered" } }));

function followLog(t: TestContext) {
  const places = placesIn(makeSpoolFixture(t).directory);
  mkdirSync(places.statusLogs);
  const { files, open, counts } = faultyFiles();
  const index = new StateIndex(new LogicalClock(() => 0));
  const faults: SpoolFault[] = [];
  const onFault = (fault: SpoolFault) => void faults.push(fault);
  const closer = new BackgroundCloser(files, onFault);
  const log = new FollowedLog(
    name,
    { files, places, index, onFault, fileFaults: new FileFaults(onFault) },
    closer,
  );
  t.after(async () => {
    log.end();
    await closer.idle();
    assert.equal(open.size, 0);
  });
  return { log, index, faults, counts, path: logPath(places, name) };
}

test("a log that grows octet by octet is read to its last whole batch each time", async (t) => {
  const { log, index, faults, path } = followLog(t);
  const batches = [batch("M1", 1), batch("M2", 2), batch("M3", 3)];
  const octets = Buffer.concat(batches);
  writeFileSync(path, "");
  for (let length = 1; length <= octets.length; length++) {
    appendFileSync(path, octets.subarray(length - 1, length));
    await log.readAppended(Buffer.alloc(64));
    let end = 0;
    const whole = batches.filter((one) => {
      end += one.length;
      return end <= length;
    });
    assert.equal(index.size, whole.length, `at octet ${length}`);
    assert.equal(log.bytes, length);
  }
  assert.deepEqual(faults, []);
});

test("a log larger than the window is read in one call", async (t) => {
  const { log, index, path } = followLog(t);
  writeFileSync(path, Buffer.concat(Array.from({ length: 200 }, (_, n) => batch(`M${n}`, n))));
  await log.readAppended(Buffer.alloc(64));
  assert.equal(index.size, 200);
});

test("damage in a log is reported at its place in the file", async (t) => {
  const { log, index, faults, path } = followLog(t);
  const damaged = batch("M2", 2);
  damaged[damaged.indexOf("M2")] = 0x58;
  writeFileSync(path, batch("M1", 1));
  await log.readAppended(Buffer.alloc(4096));
  appendFileSync(path, Buffer.concat([damaged, batch("M3", 3)]));
  await log.readAppended(Buffer.alloc(4096));
  assert.equal(index.size, 2);
  assert.deepEqual(faults, [
    { kind: "damaged", place: `${name}.log`, offset: batch("M1", 1).length, length: damaged.length },
  ]);
});

test("a log that is not there has nothing, and an ended one is not opened again", async (t) => {
  const { log, index, counts, path } = followLog(t);
  await log.readAppended(Buffer.alloc(64));
  writeFileSync(path, batch("M1", 1));
  log.end();
  await log.readAppended(Buffer.alloc(64));
  assert.equal(index.size, 0);
  assert.equal(counts.get("open"), 1);
});
