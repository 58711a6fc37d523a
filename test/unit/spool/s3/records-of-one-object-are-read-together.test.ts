/** A host that has not written the mail asks the store once for messages that share an object. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { store, textOf } from "../../../contract/spool.ts";
import { serverError } from "../../../support/s3-fault-proxy.ts";
import { makeS3Fixture } from "./s3-fixture.ts";

test("messages that were stored together are read by one request, one after the other or at the same time", async (t) => {
  const fixture = await makeS3Fixture(t);
  const writer = await fixture.open({ batchMs: 200 });
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) => store(writer, Buffer.from(`Message ${n}.\r\n`))),
  );
  assert.equal(new Set(all.map(({ locator }) => locator.segment)).size, 1, "one object");
  const reader = await fixture.open();
  const before = reader.requests.get;
  assert.equal(await textOf(reader, all[0] ?? assert.fail()), "Message 0.\r\n");
  assert.deepEqual(
    await Promise.all(all.map((each) => textOf(reader, each))),
    all.map((_, n) => `Message ${n}.\r\n`),
  );
  assert.equal(reader.requests.get - before, 1);
});

test("what was read along counts for seconds, and not when its object was missing or the store failed", async (t) => {
  const fixture = await makeS3Fixture(t);
  const stored = await store(await fixture.open(), Buffer.from("Hello.\r\n"));
  let nowMs = 0;
  const reader = await fixture.open({ monotonicMs: () => nowMs, repeatMs: 0 });
  let gets = 0;
  let fails = true;
  fixture.proxy.decide = ({ method, path }) => {
    if (method !== "GET" || !path.includes("messages/")) return undefined;
    gets++;
    return fails ? serverError : undefined;
  };
  await assert.rejects(textOf(reader, stored), { name: "SpoolUnavailable" });
  fails = false;
  const { segment } = stored.locator;
  const object = fixture.store.objects.get(segment);
  assert.ok(object);
  fixture.store.objects.delete(segment);
  assert.equal(await reader.read(stored.meta.id, stored.locator), undefined);
  fixture.store.objects.set(segment, object);
  gets = 0;
  for (const [ageMs, total] of [
    [0, 1],
    [10_000, 1],
    [10_001, 2],
    [15_000, 2],
  ] as const) {
    nowMs = ageMs;
    assert.equal(await textOf(reader, stored), "Hello.\r\n");
    assert.equal(gets, total, `after ${ageMs} ms`);
  }
});

test("records that cross the border of a window, and large ones, are read by themselves", async (t) => {
  const fixture = await makeS3Fixture(t);
  const writer = await fixture.open({ batchMs: 200, largeBytes: 1_000_000 });
  const sizes = [200_000, 100_000, 300_000, 5, 600_000, 7];
  const all = await Promise.all(sizes.map((size, n) => store(writer, Buffer.alloc(size, `${n}`))));
  const reader = await fixture.open();
  for (const [n, stored] of all.entries())
    assert.equal(await textOf(reader, stored), `${n}`.repeat(sizes[n] ?? 0));
});
