import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ageLabel,
  searchablePart,
  sessionRates,
  trailingMinute,
} from "../../../../services/admin/page/app/rates.js";

test("the plot has the messages of the minute that ended at each time", () => {
  assert.deepEqual(trailingMinute([1, 2, 3, 4, 5, 6, 7, 0], 10), [1, 3, 6, 10, 15, 21, 27, 25]);
  assert.deepEqual(trailingMinute([2, 3], 60), [2, 3]);
});

test("what never happened in the time has no line", () => {
  assert.deepEqual(trailingMinute([0, 0, 0], 10), [null, null, null]);
});

test("where nobody counted the curve has a gap, and what was counted before it still counts for its minute", () => {
  assert.deepEqual(trailingMinute([4, null, null, 1], 20), [4, null, null, 1]);
  assert.deepEqual(trailingMinute([4, 2, null, 1], 20), [4, 6, null, 3]);
  assert.deepEqual(trailingMinute([0, null], 10), [null, null]);
});

test("sessions are counted by row over several times, and opaque ones beside the rows", () => {
  const idle = Array.from({ length: 5 }, () => ({ rows: {} }));
  const buckets = [{ rows: { relay: 60 } }, ...idle, { rows: { "client-server": 6, opaque: 3 } }, ...idle];
  assert.deepEqual(sessionRates(buckets, 10, [1, 2]), {
    rows: [
      { name: "relay", rates: [0, 30] },
      { name: "client-server", rates: [6, 3] },
    ],
    opaque: [3, 1.5],
  });
});

test("the ages of the matrix are said in hours once they are long", () => {
  assert.deepEqual(["5m", "80m", "120m", "1280m", "older"].map(ageLabel), [
    "5m",
    "1h 20m",
    "2h",
    "21h 20m",
    "older",
  ]);
});

test("a reason finds its mail by the longest part that all of the group have", () => {
  assert.equal(searchablePart("Mailbox of … is full, … octets over quota"), "octets over quota");
  assert.equal(searchablePart("mailbox full"), "mailbox full");
  assert.equal(searchablePart("…"), "");
});
