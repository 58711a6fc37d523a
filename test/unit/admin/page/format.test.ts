import assert from "node:assert/strict";
import { test } from "node:test";
import {
  age,
  bytes,
  count,
  plural,
  sender,
  short,
  since,
  some,
  until,
} from "../../../../services/admin/page/app/format.js";
import { parsePlace, placeTo } from "../../../../services/admin/page/app/route.js";

test("ages have two units at most, and one once they are long", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [-5_000, "0s"],
    [59_400, "59s"],
    [61_000, "1m 1s"],
    [600_000, "10m"],
    [3 * 3_600_000 + 20 * 60_000, "3h 20m"],
    [2 * 86_400_000, "2d"],
    [26 * 3_600_000, "1d 2h"],
  ];
  for (const [ms, text] of cases) assert.equal(age(ms), text);
  assert.equal(since(null, 0), "–");
  assert.equal(until("1970-01-01T00:00:05Z", 10_000), "now");
  assert.equal(until("1970-01-01T00:00:15Z", 10_000), "in 5s");
});

test("numbers and sizes are short, and say when they are not known", () => {
  assert.deepEqual(
    [short(7.25), short(950), short(12_345), short(1_234_567), short(null)],
    ["7.3", "950", "12.3k", "1.2M", "–"],
  );
  assert.deepEqual(
    [bytes(12), bytes(1536), bytes(50 * 1024 ** 2), bytes(undefined)],
    ["12 B", "1.5 KB", "50 MB", "–"],
  );
  assert.deepEqual([count(1234), count(null)], ["1,234", "–"]);
  assert.deepEqual([plural(1, "message"), plural(2, "message")], ["1 message", "2 messages"]);
  assert.equal(sender(""), "<>");
  assert.equal(some(["a", "b", "c", "d"]), "a, b and 2 more");
});

test("a place of the page survives its address, whatever is in an id or a filter", () => {
  for (const rest of ["", "1M8PQXWVF29TJ4D16K-0", "<a/b?c&d=%@example.com>"]) {
    const query = { search: "ü & = ? #", status: "deferred" };
    assert.deepEqual(parsePlace(placeTo("message", rest, query)), { view: "message", rest, query });
  }
  assert.deepEqual(parsePlace(""), { view: "overview", rest: "", query: {} });
  assert.equal(parsePlace("#/message/%E0%A4%A").rest, "%E0%A4%A");
  assert.equal(placeTo("queue", "", { search: "", to: undefined }), "#/queue");
});
