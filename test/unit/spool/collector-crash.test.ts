import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createFsSpool, type FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { StoredMessage } from "../../../shared/spool/spool.ts";
import { someDiagnosis, someMeta, store, textOf } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { changes, type FaultyFiles, faultyFiles } from "./faulty-files.ts";

/** What a spool directory contains at the start of each run, and must contain at its end. */
interface Expected {
  unsettled: { message: StoredMessage; text: string; states: [number, RecipientState][] }[];
  settled: string[];
}

const root = mkdtempSync(join(tmpdir(), "postern-crash-"));
const template = join(root, "template");
const options = {
  minFreeBytes: 0,
  segmentBytes: 4000,
  logBytes: 200,
  largeBytes: 3000,
  moveAfterMs: 0,
  moveShare: 0.5,
  forgetAfterMs: 0,
  heartbeatMs: 1_000_000,
};
const expected: Expected = { unsettled: [], settled: [] };
const open: FsSpool[] = [];
const faults: FaultyFiles[] = [];

before(async () => {
  const spool = createFsSpool({ directory: template, ...options });
  const failed: RecipientState = { kind: "failed", diagnosis: someDiagnosis };
  const reported = await store(spool, "reported", someMeta(2));
  await spool.settle([{ id: reported.meta.id, recipients: [0, 1], state: failed }]);
  for (let n = 0; n < 24; n++) {
    const text = n % 6 === 0 ? `${n}`.padEnd(5000) : `${n}`.padEnd(300);
    const message = await store(spool, text, someMeta(2));
    const { id } = message.meta;
    if (n % 8 === 0) {
      await spool.settle([{ id, recipients: [1], state: failed }]);
      await spool.settle([{ id, recipients: [1], state: { kind: "pending" } }]);
      expected.unsettled.push({ message, text, states: [[1, { kind: "pending" }]] });
    } else {
      await spool.settle([{ id, recipients: [0, 1], state: { kind: "delivered" } }]);
      expected.settled.push(id);
    }
  }
  const settles = { id: reported.meta.id, recipients: [1], state: { kind: "bounced" as const } };
  const notification = await store(spool, "a notification", someMeta(), settles);
  await spool.settle([{ id: notification.meta.id, recipients: [0], state: { kind: "delivered" } }]);
  expected.settled.push(notification.meta.id);
  const states: [number, RecipientState][] = [
    [0, failed],
    [1, { kind: "bounced" }],
  ];
  expected.unsettled.push({ message: reported, text: "reported", states });
  await spool.close();
});

after(async () => {
  await Promise.all(open.map((spool) => spool.close()));
  for (const faulty of faults) faulty.release();
  rmSync(root, { recursive: true, force: true });
});

function reopen(directory: string): FsSpool {
  const spool = createFsSpool({ directory, ...options });
  open.push(spool);
  return spool;
}

/** As other processes do after a while without a heartbeat. */
function takeForDead(directory: string): void {
  for (const name of readdirSync(join(directory, "writers"))) unlinkSync(join(directory, "writers", name));
}

async function assertNothingLostOrRepeated(directory: string, when: string): Promise<void> {
  const spool = reopen(directory);
  const found: string[] = [];
  for await (const { meta, locator, states } of spool.unsettled()) {
    found.push(meta.id);
    assert.ok(!expected.settled.includes(meta.id), `${when}: a settled message would be delivered again`);
    assert.ok(await spool.read(meta.id, locator), when);
    const unsettled = expected.unsettled.find(({ message }) => message.meta.id === meta.id);
    for (const [recipient, state] of unsettled?.states ?? [])
      assert.deepEqual(states.get(recipient), state, `${when}: recipient ${recipient}`);
  }
  assert.equal(new Set(found).size, expected.unsettled.length, `${when}: all unsettled mail is found`);
  for (const { message, text } of expected.unsettled) assert.equal(await textOf(spool, message), text, when);
  await spool.close();
}

async function assertAllFreed(directory: string, when: string): Promise<void> {
  const spool = reopen(directory);
  for (let n = 0; n < 3; n++) await spool.collect();
  const list = (place: string) => readdirSync(join(directory, place));
  assert.deepEqual(list("segments"), [], when);
  assert.equal(list("own").length, expected.unsettled.length, when);
  assert.deepEqual(list("moving"), [], when);
  await spool.close();
}

/** Copies the template, and starts a collector there that stops before its nth change of the disk. */
async function stoppedCollector(n: number) {
  const directory = join(root, `${n}-${Math.random()}`);
  cpSync(template, directory, { recursive: true });
  const faulty = faultyFiles();
  faults.push(faulty);
  const spool = createFsSpool({ directory, ...options, files: faulty.files });
  open.push(spool);
  let change = 0;
  let stopped = false;
  faulty.decide = (call, args) => {
    if (stopped || (changes(call, args) && change++ === n)) {
      stopped = true;
      return "freeze";
    }
    return "do";
  };
  const collected = spool
    .collect()
    .then(() => spool.collect())
    .then(() => spool.collect());
  const ended = await waitFor("the collector to stop or end", async () => {
    if (stopped) return "stopped";
    return (await Promise.race([collected.then(() => true), new Promise((go) => setImmediate(go, false))]))
      ? "ended"
      : undefined;
  });
  return { directory, faulty, collected, ended };
}

test("a collector that dies before any of its steps loses no mail and repeats no delivery", async () => {
  let n = 0;
  for (; ; n++) {
    const { directory, ended } = await stoppedCollector(n);
    takeForDead(directory);
    const when = `dead before change ${n}`;
    await assertNothingLostOrRepeated(directory, when);
    await assertAllFreed(directory, when);
    await assertNothingLostOrRepeated(directory, `${when}, collected again`);
    if (ended === "ended") break;
  }
  assert.ok(n > 40, `only ${n} changes`);
});

test("a collector that was suspended, taken for dead and replaced does no harm when it resumes", async () => {
  for (let n = 0; ; n++) {
    const { directory, faulty, collected, ended } = await stoppedCollector(n);
    if (ended === "ended") break;
    const when = `woken at change ${n}`;
    takeForDead(directory);
    const other = reopen(directory);
    await other.collect();
    await other.collect();
    // The other collector has moved this message; it is settled and freed now, and must not come back.
    const [first] = expected.unsettled;
    assert.ok(first);
    const { id } = first.message.meta;
    await other.settle([{ id, recipients: [0, 1], state: { kind: "removed" } }]);
    for (let again = 0; again < 3; again++) await other.collect();
    await other.close();
    faulty.thaw();
    await collected.catch(() => {});
    const last = reopen(directory);
    const found: string[] = [];
    for await (const { meta } of last.unsettled()) found.push(meta.id);
    assert.ok(!found.includes(id), `${when}: a freed message came back`);
    for (const settled of expected.settled) assert.ok(!found.includes(settled), when);
    assert.equal(new Set(found).size, expected.unsettled.length - 1, when);
    await last.close();
  }
});
