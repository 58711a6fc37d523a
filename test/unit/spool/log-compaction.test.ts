import assert from "node:assert/strict";
import { test } from "node:test";
import { LogRetention } from "../../../shared/spool/log-compaction.ts";

const log = (name: string) => ({ name, bytes: 100 });
const names = (logs: { name: string }[]) => logs.map(({ name }) => name);

test("a log expires when it has been complete for the time that settlements are kept", () => {
  const retention = new LogRetention(60_000);
  assert.deepEqual(names(retention.expired([log("a")], 1000)), []);
  assert.deepEqual(names(retention.expired([log("a"), log("b")], 60_999)), []);
  assert.deepEqual(names(retention.expired([log("a"), log("b")], 61_000)), ["a"]);
  assert.deepEqual(names(retention.expired([log("b")], 120_999)), ["b"]);
});

test("a log that was not complete any more in between is counted from its next appearance", () => {
  const retention = new LogRetention(60_000);
  retention.expired([log("a")], 0);
  retention.expired([], 30_000);
  assert.deepEqual(names(retention.expired([log("a")], 60_000)), []);
});

test("messages that went lately still need their settlements", () => {
  const retention = new LogRetention(60_000);
  const ids = ["M1", "M2", "M3"];
  const had =
    (...gone: string[]) =>
    (id: string) =>
      gone.includes(id);
  const lately = () => ids.filter((id) => retention.wentLately(id));
  retention.noteGone(had("M1", "M2"), 0);
  retention.noteGone(had("M3"), 20_000);
  retention.expired([], 59_999);
  assert.deepEqual(lately(), ["M1", "M2", "M3"]);
  retention.expired([], 60_000);
  assert.deepEqual(lately(), ["M3"]);
  retention.noteGone(had("M2"), 80_000);
  assert.deepEqual(lately(), ["M2"], "also while no log can be judged");
});
