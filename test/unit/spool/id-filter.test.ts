import assert from "node:assert/strict";
import { test } from "node:test";
import { makeQueueId } from "../../../shared/mail/queue-id.ts";
import { IdFilter, IdFilters, mostFilterBytes } from "../../../shared/spool/records/id-filter.ts";

/** Queue ids of one millisecond each, with the same random part in every run. */
function someIds(count: number, firstMs: number): string[] {
  return Array.from({ length: count }, (_, n) => {
    const random = Uint8Array.from(
      { length: 9 },
      (_, i) => Math.imul(n + 1, 2_654_435_761 + i * 40_503) >>> 8,
    );
    return makeQueueId(firstMs + n, random);
  });
}

const startMs = 1_800_000_000_000;

test("an id that is there is always found, whatever it looks like", () => {
  for (const count of [0, 1, 2, 100, 5000]) {
    const ids = [...someIds(count, startMs), ...(count > 1 ? ["M1", "x", "", "zzz-_"] : [])];
    const filter = IdFilter.of(ids, ids.length);
    for (const id of ids) assert.ok(filter.mayHave(id), id);
    const filters = new IdFilters([filter, new IdFilter(0)]);
    for (const id of ids) assert.ok(filters.mayHave(id), id);
  }
  assert.ok(!new IdFilters([]).mayHave("M1"));
  assert.ok(!new IdFilters([new IdFilter(0)]).mayHave("M1"));
});

test("of ids between those that are there few are found all the same, and none before or after them", () => {
  const ids = someIds(20_000, startMs);
  const filter = IdFilter.of(
    ids.filter((_, n) => n % 2 === 0),
    10_000,
  );
  const found = ids.filter((id, n) => n % 2 === 1 && filter.mayHave(id)).length;
  assert.ok(found < 300, `${found} of 10000`);
  const others = [...someIds(1000, startMs - 1000), ...someIds(1000, startMs + 20_000)];
  assert.deepEqual(
    others.filter((id) => filter.mayHave(id)),
    [],
  );
});

test("a filter has a bound, however many ids it has", () => {
  for (const [count, most] of [
    [8, 8],
    [1000, 1024],
    [100_000, mostFilterBytes],
    [200_000, mostFilterBytes],
  ] as const) {
    const ids = someIds(count, startMs);
    const filter = IdFilter.of(ids, count);
    assert.ok(filter.bytes <= most, `${count} ids take ${filter.bytes} octets`);
    assert.ok(ids.every((id) => filter.mayHave(id)));
  }
});

test("filters of overlapping times are asked as one", () => {
  const all = someIds(4000, startMs);
  // One has all of the time, one a single id long before the others, the rest a part each.
  const parts = [
    all.filter((_, n) => n % 1000 === 999),
    [makeQueueId(startMs - 1_000_000, new Uint8Array(9)), ...all.slice(0, 900)],
    all.slice(1000, 1900),
    all.slice(1500, 1950),
    all.slice(2000, 2900),
  ];
  const filters = new IdFilters(parts.map((ids) => IdFilter.of(ids, ids.length)));
  for (const id of parts.flat()) assert.ok(filters.mayHave(id));
  const absent = all.filter((id) => !parts.flat().includes(id));
  const found = absent.filter((id) => filters.mayHave(id)).length;
  assert.ok(absent.length > 1000 && found < absent.length / 10, `${found} of ${absent.length}`);
});
