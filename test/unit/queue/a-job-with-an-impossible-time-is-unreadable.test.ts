import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDeliveryJob } from "../../../shared/queue/contract/contract.ts";
import { rowOf } from "../../../shared/queue/operator/rows.ts";

const job = {
  version: 1,
  id: "1M8PQXWVF29TJ4D16K",
  part: 0,
  locator: { segment: "000000000-aaaaaaaaaaaa", offset: 1, length: 2, checksum: 3 },
  from: "a@example.com",
  to: ["b@example.org"],
  route: "relay via mx example.org",
  size: 100,
};

test("a job whose time is no date is unreadable, and does not fail the lists that it would be in", () => {
  for (const receivedAtMs of [8.64e15 + 1, 1e300, -1e300])
    assert.equal(parseDeliveryJob({ ...job, receivedAtMs }), undefined);
  const last = parseDeliveryJob({ ...job, receivedAtMs: 8.64e15 });
  assert.ok(last !== undefined);
  const row = rowOf({ queue: "delivery", status: "waiting", job: last });
  assert.equal(row.receivedAt, "+275760-09-13T00:00:00.000Z");
});
