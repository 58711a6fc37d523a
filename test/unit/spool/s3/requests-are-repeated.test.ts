import assert from "node:assert/strict";
import { test } from "node:test";
import { planCompaction } from "../../../../shared/spool/s3/cleanup/plan-compaction.ts";
import { decideRetry, failureKind, storeError } from "../../../../shared/spool/s3/store/failures.ts";
import { compactedKey, compactionCounts, isSegmentKey } from "../../../../shared/spool/s3/store/names.ts";
import { StoreFailure } from "../../../../shared/spool/s3/store/object-store.ts";
import { SpoolFull, SpoolUnavailable } from "../../../../shared/spool/spool.ts";
import { makeS3Fixture } from "./s3-fixture.ts";

const answer = (httpStatusCode: number, name: string) =>
  Object.assign(new Error(name), { name, $metadata: { httpStatusCode } });
const system = (code: string) => Object.assign(new Error(code), { code });

test("a failure is what it means for the message", () => {
  const table: [unknown, ReturnType<typeof failureKind>][] = [
    [answer(404, "NoSuchKey"), "missing"],
    [answer(412, "PreconditionFailed"), "exists"],
    [answer(501, "NotImplemented"), "unsupported"],
    [answer(403, "QuotaExceeded"), "full"],
    [answer(507, "XMinioStorageFull"), "full"],
    [answer(403, "AccessDenied"), "refused"],
    [answer(503, "SlowDown"), "throttled"],
    [answer(429, "TooManyRequests"), "throttled"],
    [answer(500, "InternalError"), "broken"],
    [answer(503, "ServiceUnavailable"), "broken"],
    [answer(409, "ConditionalRequestConflict"), "broken"],
    [answer(403, "RequestTimeTooSkewed"), "broken"],
    [system("ECONNREFUSED"), "unreachable"],
    [system("ECONNRESET"), "broken"],
    [Object.assign(new Error("no credentials"), { name: "CredentialsProviderError" }), "refused"],
    [undefined, "broken"],
  ];
  for (const [error, kind] of table) assert.equal(failureKind(error), kind, String(error));
});

test("only failures that pass are repeated, later and later, while there is time", () => {
  for (const kind of ["missing", "exists", "unsupported", "full", "refused"] as const)
    assert.deepEqual(decideRetry(kind, 1, 0, 30_000, 0), { kind: "give-up" });
  assert.deepEqual(decideRetry("broken", 1, 0, 30_000, 1), { kind: "retry", delayMs: 50 });
  assert.deepEqual(decideRetry("throttled", 4, 0, 30_000, 0), { kind: "retry", delayMs: 200 });
  assert.deepEqual(decideRetry("unreachable", 20, 0, 30_000, 1), { kind: "retry", delayMs: 2000 });
  assert.deepEqual(decideRetry("broken", 1, 29_980, 30_000, 1), { kind: "give-up" });
});

test("a full store is lack of space, everything else a failure of the spool", () => {
  const full = storeError(new StoreFailure("full", "QuotaExceeded (403)", "not-stored"), "not stored");
  assert.ok(full instanceof SpoolFull);
  const refused = storeError(new StoreFailure("refused", "AccessDenied (403)", "not-stored"), "not stored");
  assert.ok(refused instanceof SpoolUnavailable);
  assert.equal(refused.message, "not stored: AccessDenied (403)");
});

test("sparse and small objects are joined once they are old, and only when that is worth a request", () => {
  const mb = 1024 * 1024;
  const limits = { moveAfterMs: 1000, targetBytes: 8 * mb };
  const object = (n: number, more = {}) => ({
    key: `${n}`,
    size: 1000,
    ageMs: 2000,
    messages: 4,
    unsettled: 1,
    ...more,
  });
  const many = Array.from({ length: 9 }, (_, n) => object(n));
  assert.deepEqual(planCompaction(many, limits), [many.map(({ key }) => key)]);
  assert.deepEqual(planCompaction(many.slice(0, 7), limits), []);
  assert.deepEqual(planCompaction([object(1, { size: 8 * mb })], limits), [["1"]]);
  assert.deepEqual(planCompaction([object(1, { size: 8 * mb, unsettled: 3 })], limits), []);
  assert.deepEqual(
    planCompaction(
      many.map((one) => ({ ...one, ageMs: 500 })),
      limits,
    ),
    [],
  );
  assert.deepEqual(
    planCompaction(
      many.map((one) => ({ ...one, unsettled: 0 })),
      limits,
    ),
    [],
  );
  const large = Array.from({ length: 20 }, (_, n) => object(n, { size: 4 * mb, unsettled: 2 }));
  assert.deepEqual(
    planCompaction(large, limits).map((keys) => keys.length),
    [4, 4, 4, 4, 4],
  );
});

test("a joined object counts when the store got it soon after its beginning, by the store's clock", () => {
  const key = compactedKey(
    { openedMs: 1_700_000_000_000, writer: "aaaaaaaaaaaa", settling: false },
    1_700_000_000_999,
  );
  assert.ok(isSegmentKey(key));
  assert.ok(compactionCounts(key, 1_700_000_060_000));
  assert.ok(!compactionCounts(key, 1_700_000_061_000));
  assert.ok(!isSegmentKey("messages/../states/x"));
});

for (const [conditionalPut, expected] of [
  ["honoured", true],
  ["ignored", false],
  ["unsupported", false],
] as const) {
  test(`the probe finds that conditional writes are ${conditionalPut}, and leaves nothing behind`, async (t) => {
    const batchDelete = conditionalPut === "unsupported" ? "unsupported" : "md5";
    const { open, keys, reports } = await makeS3Fixture(t, { conditionalPut, batchDelete });
    await open();
    assert.deepEqual(reports, [{ conditionalPut: expected, batchDelete: batchDelete === "md5" }]);
    assert.deepEqual(keys("probe/"), []);
  });
}
