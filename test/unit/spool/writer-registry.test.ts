import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { store } from "../../contract/spool.ts";
import { waitFor } from "../../support/wait-for.ts";
import { faultyFiles } from "./faulty-files.ts";
import { makeRoom } from "./room.ts";

const quick = { heartbeatMs: 20, deadAfterMs: 500, followMs: 20 };

test("a writer that falls silent is taken for dead, one that shows itself is not", async (t) => {
  const faulty = faultyFiles();
  t.after(() => faulty.thaw());
  const room = makeRoom(t, quick);
  const [silent, living, watching] = [room.open({ files: faulty.files }), room.open(), room.open()];
  await Promise.all([store(silent, "x"), store(living, "x")]);
  const writers = () => readdirSync(join(room.directory, "writers"));
  const both = writers();
  await watching.states("x");
  faulty.judge = () => "freeze";
  await waitFor("the silent one to go", () => writers().length === 1);
  const left = writers()[0] ?? "";
  assert.ok(both.includes(left));
  assert.ok((await store(living, "y")).locator.segment.includes(left));
  assert.deepEqual(room.faults, []);
  faulty.thaw();
  await store(silent, "back");
  assert.equal(writers().length, 2);
  assert.deepEqual(
    room.faults.map(({ kind }) => kind),
    ["fenced"],
  );
});

test("a process that only reads leaves no sign of life", async (t) => {
  const room = makeRoom(t, quick);
  const spool = room.open();
  await spool.read("M");
  await spool.states("M", true);
  for await (const _ of spool.unsettled()) assert.fail("nothing is there");
  await spool.status();
  assert.deepEqual(readdirSync(join(room.directory, "writers")), []);
});
