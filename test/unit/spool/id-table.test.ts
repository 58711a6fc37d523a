import assert from "node:assert/strict";
import { test } from "node:test";
import { makeQueueId, maxShards } from "../../../shared/mail/queue-id.ts";
import { IdTable, numbersPerChunk } from "../../../shared/spool/id-table.ts";
import { packId, unpackId } from "../../../shared/spool/packed-id.ts";

/** A small deterministic generator (Park and Miller), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

function someQueueId(random: (below: number) => number): string {
  const octets = Uint8Array.from({ length: 9 }, () => random(256));
  const shard = random(2) === 0 ? undefined : random(maxShards);
  return makeQueueId(random(2) === 0 ? random(2 ** 31) : 1_800_000_000_000 + random(1000), octets, shard);
}

test("every queue id comes back from its three words, with and without a shard", () => {
  const random = generator(7);
  const words = new Uint32Array(9);
  const ids = ["0".repeat(18), "Z".repeat(18), "0".repeat(19), "Z".repeat(19)];
  for (let n = 0; n < 5000; n++) ids.push(someQueueId(random));
  for (let shard = 0; shard < maxShards; shard++) ids.push(makeQueueId(1, new Uint8Array(9).fill(31), shard));
  for (const id of ids) {
    assert.ok(packId(id, words, 3), id);
    assert.equal(unpackId(words, 3), id);
  }
  assert.deepEqual([...words.subarray(0, 3), ...words.subarray(6)], [0, 0, 0, 0, 0, 0]);
});

test("what is no queue id is not taken for one", () => {
  const words = new Uint32Array(3);
  const good = makeQueueId(1_800_000_000_000, new Uint8Array(9).fill(7));
  for (const id of [
    "",
    "M1",
    good.slice(1),
    `${good}00`,
    good.toLowerCase(),
    `${good.slice(1)}I`,
    `${good}U`,
    `${good}é`,
  ])
    assert.ok(!packId(id, words, 0), id);
  assert.ok(!packId(`é${good.slice(1)}`, words, 0));
});

test("numbers of ids are found, given back and used again as a map would have them", () => {
  const random = generator(11);
  const table = new IdTable();
  const numbers = new Map<string, number>();
  const pool = Array.from({ length: 3 * numbersPerChunk }, (_, n) =>
    n % 50 === 0 ? `odd-${n}` : someQueueId(random),
  );
  const check = (): void => {
    assert.equal(table.size, numbers.size);
    assert.equal(new Set(numbers.values()).size, numbers.size, "no number is given out twice");
    for (const id of pool) assert.equal(table.find(id), numbers.get(id), id);
    for (const [id, number] of numbers) assert.equal(table.idOf(number), id);
  };
  // It fills up, shrinks to little, and fills up again.
  for (const [adds, removes] of [
    [10, 1],
    [1, 10],
    [10, 1],
    [0, 10],
  ] as const) {
    for (let n = 0; n < 30_000; n++) {
      const id = pool[random(pool.length)] as string;
      if (random(adds + removes) < adds) {
        const number = table.add(id);
        assert.equal(number, numbers.get(id) ?? number);
        numbers.set(id, number);
      } else {
        const number = numbers.get(id);
        if (number === undefined) continue;
        table.remove(number);
        numbers.delete(id);
      }
    }
    check();
  }
  for (const number of numbers.values()) table.remove(number);
  numbers.clear();
  check();
});

test("a chunk of numbers gives its memory back when none of them is in use", () => {
  const random = generator(13);
  const table = new IdTable();
  const ids = Array.from({ length: 2 * numbersPerChunk }, () => someQueueId(random));
  const numbers = ids.map((id) => table.add(id));
  const first = numbers.slice(0, numbersPerChunk);
  for (const [n, number] of first.entries())
    assert.equal(table.remove(number), n === first.length - 1, "with the last of them");
  for (const id of ids.slice(numbersPerChunk)) assert.notEqual(table.find(id), undefined);
  assert.equal(table.add(ids[0] as string), 0, "its numbers are used again");
});
