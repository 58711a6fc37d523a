import assert from "node:assert/strict";
import { test } from "node:test";
import { IdList } from "../../../shared/spool/records/id-list.ts";

test("ids and numbers of recipients come back in their order, whatever their length and however many", () => {
  const list = new IdList();
  const given = Array.from({ length: 3000 }, (_, n) => ({
    id: `M${n}`.padEnd(2 + (n % 63), "x"),
    recipients: [1, 254, 255, 256, 1000, 70_000][n % 6] ?? 1,
  }));
  for (const [n, { id, recipients }] of given.entries()) {
    list.add(id, recipients);
    if (n % 1000 === 0) list.trim();
  }
  assert.equal(list.length, given.length);
  assert.deepEqual([...list.entries()], given);
  assert.deepEqual(
    [...list.ids()],
    given.map(({ id }) => id),
  );
});

test("a number of recipients that nobody knows is never small", () => {
  const list = new IdList();
  list.add("M1", Number.POSITIVE_INFINITY);
  assert.deepEqual([...list.entries()], [{ id: "M1", recipients: 0xffff_ffff }]);
});
