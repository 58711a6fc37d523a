import assert from "node:assert/strict";
import { test } from "node:test";
import { makeQueueId } from "../../../shared/mail/queue-id.ts";
import { KnownSegment } from "../../../shared/spool/fs/cleanup/known-segment.ts";
import { mostSampled, UnsettledSample } from "../../../shared/spool/fs/cleanup/unsettled-sample.ts";

const idOf = (n: number): string => makeQueueId(1_800_000_000_000 + n, new Uint8Array(9));
const nothing = { isSettled: (_id: string) => false };
const everything = { isSettled: (_id: string) => true };
/** The first `count` messages are settled. */
const upTo = (count: number) => ({ isSettled: (id: string) => id < idOf(count) });

function segmentOf(messages: number, states = nothing): KnownSegment {
  const segment = new KnownSegment("00abcdefg-aaaaaaaaaaaa", 0);
  for (let n = 0; n < messages; n++) segment.add({ id: idOf(n), recipients: 1, large: undefined });
  segment.complete(states);
  return segment;
}

test("what is kept of a finished segment has a bound, however many messages it has and none is settled", () => {
  const [thousand, many] = [segmentOf(1000), segmentOf(200_000)];
  assert.equal(many.messages, 200_000);
  assert.ok(thousand.bytes < 3000, `${thousand.bytes} octets for a thousand`);
  assert.ok(many.bytes < 140_000, `${many.bytes} octets for 200,000`);
});

test("a finished segment still knows which messages it has, and that it has unsettled ones", () => {
  const segment = segmentOf(3000, upTo(1000));
  const filter = segment.filter();
  for (let n = 0; n < 3000; n++) assert.ok(filter.mayHave(idOf(n)));
  assert.ok(!filter.mayHave(idOf(3000)));
  assert.equal(segment.unsettled.counted, 2000);
  assert.ok(segment.unsettled.hasUnsettled(nothing));
  assert.ok(!segment.unsettled.hasUnsettled(everything));
});

test("a few unsettled messages are known by their ids, so that their number is", () => {
  const sample = new UnsettledSample();
  for (let n = 0; n < mostSampled; n++) sample.add(idOf(n), 1);
  assert.ok(sample.isWhole);
  assert.equal(sample.estimate(nothing), mostSampled);
  assert.equal(sample.estimate(upTo(10)), mostSampled - 10);
  assert.equal(sample.estimate(upTo(10)), mostSampled - 10);
  assert.equal(sample.estimate(everything), 0);
});

test("of many unsettled messages the number is estimated, never above what it was and near to what it is", () => {
  for (const count of [65, 1000, 12_345, 100_000]) {
    const sample = new UnsettledSample();
    for (let n = 0; n < count; n++) sample.add(idOf(n), 1);
    assert.ok(!sample.isWhole);
    sample.trim();
    assert.ok(sample.bytes <= mostSampled * 21);
    assert.equal(sample.estimate(nothing), count);
    for (const share of [0.25, 0.5, 0.9]) {
      const left = count - Math.floor(count * share);
      const estimated = sample.estimate(upTo(Math.floor(count * share)));
      assert.ok(Math.abs(estimated - left) <= count / 16, `${estimated} for ${left} of ${count}`);
    }
    assert.ok(!sample.hasUnsettled(everything));
  }
});
