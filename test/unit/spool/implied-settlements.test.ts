import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { StoredMessage } from "../../../shared/spool/spool.ts";
import { someDiagnosis, someMeta, store, unsettledIds } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { failure, faultyFiles } from "./faulty-files.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

const failed: RecipientState = { kind: "failed", diagnosis: someDiagnosis };
const quick = { heartbeatMs: 20, deadAfterMs: 400, followMs: 20 };

const stateOf = async (spool: FsSpool, { meta }: StoredMessage) => (await spool.states(meta.id)).get(0)?.kind;

const settles = ({ meta }: StoredMessage) => ({
  id: meta.id,
  recipients: [0],
  state: { kind: "bounced" as const },
});

/** A message whose only recipient has failed, in a finished segment. */
async function failedMessage(open: () => FsSpool): Promise<StoredMessage> {
  const spool = open();
  const message = await store(spool, "x");
  await spool.settle([{ id: message.meta.id, recipients: [0], state: failed }]);
  await spool.close();
  return message;
}

test("a notification's record settles what it reports before its log says so, and frees nothing while its writer lives", async (t) => {
  const faulty = faultyFiles();
  t.after(() => faulty.thaw());
  const fixture = makeSpoolFixture(t, quick);
  const reported = await failedMessage(fixture.open);
  const dying = fixture.open({ files: faulty.files });
  faulty.decide = (call, args) => (call === "open" && String(args[0]).endsWith(".log") ? "freeze" : "do");
  const notification = someMeta();
  void store(dying, "a notification", notification, settles(reported)).catch(() => {});
  const other = fixture.open();
  await waitFor("the record to count", async () => (await stateOf(other, reported)) === "bounced");
  assert.deepEqual(await unsettledIds(other), [notification.id]);
  // A process that starts now knows it at once.
  assert.equal(await stateOf(fixture.open(), reported), "bounced");
  assert.equal((await other.collect()).segmentsRemoved, 0);
  faulty.decide = () => "freeze";
  await waitFor("the dead process", () => readdirSync(join(fixture.directory, "writers")).length <= 1);
  await waitFor("the space", async () => (await other.collect()).segmentsRemoved === 1);
  assert.equal(await stateOf(other, reported), "bounced");
  faulty.thaw();
});

test("a record that a writer of version 0.1 has taken back settles nothing any more", async (t) => {
  const faulty = faultyFiles();
  // That version does not say in its heartbeat what is on stable storage.
  const { write } = faulty.files;
  faulty.files.write = (fd, from, at, length, position, done) => {
    const old = from
      .toString("latin1")
      .replace(/,"synced":[^}]*/, "")
      .trimEnd();
    write(fd, length === 128 ? Buffer.from(`${old.padEnd(127)}\n`) : from, at, length, position, done);
  };
  const fixture = makeSpoolFixture(t, quick);
  const reported = await failedMessage(fixture.open);
  const spool = fixture.open({ files: faulty.files });
  const before = await store(spool, "before", someMeta(), { id: "Other", recipients: [0], state: failed });
  const other = fixture.open();
  faulty.decide = (call) => (call === "fdatasync" ? "freeze" : "do");
  const taken = store(spool, "a notification", someMeta(), settles(reported));
  taken.catch(() => {});
  await waitFor("the record to be seen", async () => (await stateOf(other, reported)) === "bounced");
  // The fdatasync succeeds, then the heartbeat file cannot be written.
  faulty.thaw();
  faulty.decide = (call, args) => (call === "write" && args[3] === 128 ? failure("EIO") : "do");
  await assert.rejects(taken, { name: "SpoolUnavailable" });
  faulty.decide = () => "do";
  await waitFor(
    "the recipient to have failed again",
    async () => (await stateOf(other, reported)) === "failed",
  );
  assert.equal((await other.states("Other")).get(0)?.kind, "failed", "the record before it still counts");
  assert.deepEqual((await unsettledIds(other)).toSorted(), [before.meta.id, reported.meta.id].toSorted());
  const again = await store(spool, "a notification", someMeta(), settles(reported));
  assert.equal((await other.states(reported.meta.id, true)).get(0)?.kind, "bounced");
  assert.notEqual(again.locator.segment, before.locator.segment);
});

test("records that replace those that were taken back count, too", async (t) => {
  const fixture = makeSpoolFixture(t, quick);
  const [a, b] = [await failedMessage(fixture.open), await failedMessage(fixture.open)];
  const spool = fixture.open();
  await store(spool, "first", someMeta(), { id: "Other", recipients: [0], state: failed });
  const segments = join(fixture.directory, "segments");
  const other = fixture.open();
  await other.states("x");
  const settled = join(fixture.directory, "settled");
  // The log is hidden from the other process, so that only the records say it.
  const hidden = join(fixture.directory, "hidden");
  mkdirSync(hidden);
  const hide = (): void => {
    for (const name of readdirSync(settled)) renameSync(join(settled, name), join(hidden, name));
  };
  const one = await store(spool, "one", someMeta(), settles(a));
  hide();
  await waitFor("the first record", async () => (await stateOf(other, a)) === "bounced");
  const path = join(segments, `${one.locator.segment}.seg`);
  const octets = readFileSync(path).subarray(0, one.locator.offset);
  const two = await store(spool, "two", someMeta(), settles(b));
  const record = readFileSync(path).subarray(two.locator.offset);
  writeFileSync(path, Buffer.concat([octets, record]));
  await waitFor("the second record", async () => (await stateOf(other, b)) === "bounced");
  await waitFor("the first to be dropped", async () => (await stateOf(other, a)) !== "bounced");
});
