import assert from "node:assert/strict";
import { test } from "node:test";
import { makeQueueId } from "../../../shared/mail/queue-id.ts";
import {
  allRecipientsSettled,
  foldEntries,
  LogicalClock,
  mergeStates,
  type RecipientState,
  type StatusEntry,
} from "../../../shared/spool/recipient-state.ts";
import { KnownStates, StateIndex } from "../../../shared/spool/state-index.ts";
import { someDiagnosis } from "../../contract/spool.ts";

const kinds: RecipientState[] = [
  { kind: "pending" },
  { kind: "delivered" },
  { kind: "removed" },
  { kind: "bounced" },
  { kind: "failed", diagnosis: someDiagnosis },
  { kind: "dead", diagnosis: someDiagnosis, atMs: 1 },
  { kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 1 } },
  { kind: "pending", warned: true },
  { kind: "pending", via: "mx" },
  { kind: "pending", via: "" },
  {
    kind: "delivered",
    success: {
      kind: "relayed",
      reply: { command: "DOT", code: 250, lines: ["ok"] },
      remote: { host: "mx.example", address: "192.0.2.1", port: 25 },
      atMs: 1,
    },
  },
];

const newIndex = () => new StateIndex(new LogicalClock(() => 0));

/** A small deterministic generator (Park and Miller), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

test("settlements mean the same in whatever order they are read, folded or not", () => {
  for (let seed = 1; seed < 200; seed++) {
    const random = generator(seed);
    const entries: StatusEntry[] = Array.from({ length: 1 + random(30) }, (_, n) => ({
      recipients: Array.from({ length: 1 + random(3) }, () => random(4)),
      state: kinds[random(kinds.length)] ?? { kind: "pending" },
      timestamp: n,
    }));
    const shuffled = entries
      .map((entry) => ({ entry, at: random(1000) }))
      .sort((a, b) => a.at - b.at)
      .map(({ entry }) => entry);
    const half = Math.floor(entries.length / 2);
    const orders = [
      entries,
      shuffled,
      [...foldEntries(shuffled.slice(half)), ...shuffled.slice(0, half)],
      [...entries, ...shuffled],
    ];
    const results = orders.map((order) => {
      const index = newIndex();
      for (const entry of order) index.apply("M", entry, "log");
      return { states: index.states("M"), settled: [1, 2, 3, 4].map((count) => index.isSettled("M", count)) };
    });
    for (const result of results) assert.deepEqual(result, results[0], `seed ${seed}`);
  }
});

/** What the index is to do, in the simplest way. */
class PlainIndex {
  readonly mentions: { id: string; entry: StatusEntry; source: string }[] = [];
  apply(id: string, entry: StatusEntry, source: string): void {
    this.mentions.push({ id, entry, source });
  }
  dropSource(source: string): void {
    const kept = this.mentions.filter((one) => one.source !== source);
    const left = new Set(kept.map(({ id }) => id));
    // What other sources say of a message keeps all that is known of it.
    const others = this.mentions.filter((one) => one.source === source && left.has(one.id));
    this.mentions.splice(0, Number.POSITIVE_INFINITY, ...kept);
    this.dropped = [...this.dropped.filter(({ id }) => left.has(id)), ...others];
  }
  dropped: { id: string; entry: StatusEntry }[] = [];
  entriesOf(id: string): StatusEntry[] {
    return [...this.dropped, ...this.mentions].filter((one) => one.id === id).map(({ entry }) => entry);
  }
}

test("the index says what all entries together say, whatever is added and forgotten", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = generator(seed);
    const [index, plain] = [newIndex(), new PlainIndex()];
    const ids = Array.from({ length: 12 }, (_, n) =>
      n % 4 === 0
        ? `M${n}`
        : makeQueueId(
            1_800_000_000_000 + n,
            Uint8Array.from({ length: 9 }, () => random(256)),
          ),
    );
    const sources = ["a", "b", "c", "d"];
    for (let n = 0; n < 150; n++) {
      const [id, source] = [ids[random(12)] as string, sources[random(4)] as string];
      if (random(15) === 0) {
        index.dropSource(source);
        plain.dropSource(source);
      } else {
        const count = random(3) === 0 ? 3 : 1;
        const entry: StatusEntry = {
          recipients: Array.from({ length: count }, (_, i) => (random(4) === 0 ? random(5) : i)),
          state: kinds[random(kinds.length)] ?? { kind: "pending" },
          timestamp: 1 + random(1000),
        };
        if (plain.entriesOf(id).some(({ timestamp }) => timestamp === entry.timestamp)) continue;
        index.apply(id, entry, source);
        plain.apply(id, entry, source);
      }
      const entries = plain.entriesOf(id);
      assert.deepEqual(index.states(id), mergeStates(entries), `seed ${seed}, step ${n}`);
      assert.deepEqual(mergeStates(index.entriesOf(id)), mergeStates(entries), `seed ${seed}, step ${n}`);
      for (const recipients of [0, 1, 3, 5])
        assert.equal(index.isSettled(id, recipients), allRecipientsSettled(mergeStates(entries), recipients));
    }
    assert.equal(index.size, new Set(plain.mentions.map(({ id }) => id)).size);
    for (const source of sources) {
      const mentioned = plain.mentions.filter((one) => one.source === source).map(({ id }) => id);
      assert.deepEqual([...index.idsOf(source)], mentioned);
      assert.equal(index.mentionsIn(source), mentioned.length);
    }
    for (const source of sources) index.dropSource(source);
    assert.deepEqual([index.size, index.objects], [0, 0]);
  }
});

test("a message takes no object when all its recipients have one state, however it came to that", () => {
  const index = newIndex();
  const ends: RecipientState[] = [{ kind: "delivered" }, { kind: "bounced" }, { kind: "removed" }];
  for (let n = 0; n < 20_000; n++) {
    const id = makeQueueId(1_800_000_000_000 + n, new Uint8Array(9));
    const recipients = [[0], [0, 1], [0, 1, 2]][n % 3] ?? [];
    const record = (state: RecipientState, timestamp: number): void =>
      index.apply(id, { recipients, state, timestamp }, `log ${n % 7}`);
    // Deferred, warned of, failed and reported, or just delivered.
    if (n % 5 === 0) record({ kind: "pending", delay: { diagnosis: someDiagnosis, willRetryUntilMs: 1 } }, n);
    if (n % 5 < 2) record({ kind: "pending", warned: true }, n + 1);
    if (n % 5 < 3) record({ kind: "failed", diagnosis: someDiagnosis }, n + 2);
    record(ends[n % 4] ?? { kind: "delivered" }, n + 3);
    assert.ok(index.isSettled(id, recipients.length));
  }
  assert.deepEqual([index.size, index.objects], [20_000, 0]);
});

test("a settled recipient stays settled, and a dead one may be requeued", () => {
  const index = newIndex();
  const record = (recipient: number, kind: number, timestamp: number): void =>
    index.apply(
      "M",
      { recipients: [recipient], state: kinds[kind] ?? { kind: "pending" }, timestamp },
      "log",
    );
  record(0, 1, 1);
  record(0, 0, 2);
  record(0, 5, 3);
  record(1, 5, 1);
  record(1, 0, 2);
  record(2, 4, 2);
  record(2, 3, 1);
  const states = [...index.states("M").values()].map(({ kind }) => kind);
  assert.deepEqual(states, ["delivered", "pending", "bounced"]);
});

test("a sent warning ends a delay's pending warning, and never hides a failure that came in between", () => {
  const index = newIndex();
  const record = (recipient: number, kind: number, timestamp: number): void =>
    index.apply(
      "M",
      { recipients: [recipient], state: kinds[kind] ?? { kind: "pending" }, timestamp },
      "log",
    );
  record(0, 6, 1);
  record(0, 7, 2);
  for (const [recipient, end] of [1, 4, 5].entries()) {
    record(recipient + 1, 6, 1);
    record(recipient + 1, end, 2);
    record(recipient + 1, 7, 3);
  }
  record(4, 7, 1);
  record(4, 0, 2);
  assert.deepEqual(
    [...index.states("M").values()],
    [7, 1, 4, 5, 0].map((kind) => kinds[kind]),
  );
});

test("what a log says is forgotten with the log, unless another one says it too", () => {
  const index = newIndex();
  const entry: StatusEntry = { recipients: [0], state: { kind: "delivered" }, timestamp: 1 };
  index.apply("both", entry, "a");
  index.apply("both", entry, "b");
  index.apply("twice", entry, "a");
  index.apply("twice", entry, "a");
  index.dropSource("a");
  assert.ok(index.isSettled("both", 1));
  assert.ok(!index.isSettled("twice", 1));
  assert.equal(index.size, 1);
  index.dropSource("b");
  assert.equal(index.size, 0);
});

test("a message without recipients is settled, one with more recipients than were settled is not", () => {
  const index = newIndex();
  assert.ok(index.isSettled("none", 0));
  assert.ok(!index.isSettled("some", 1));
  index.apply("some", { recipients: [0], state: { kind: "delivered" }, timestamp: 1 }, "a");
  assert.ok(index.isSettled("some", 1));
  assert.ok(!index.isSettled("some", 2));
});

test("what records imply counts beside what the logs say, the later and the settled state first", () => {
  const clock = new LogicalClock(() => 0);
  const [recorded, implied] = [new StateIndex(clock), new StateIndex(clock)];
  const known = new KnownStates(recorded, implied);
  const failed: RecipientState = { kind: "failed", diagnosis: someDiagnosis };
  recorded.apply("M", { recipients: [0, 1], state: failed, timestamp: 2 }, "log");
  assert.deepEqual(known.of("M"), recorded.states("M"));
  implied.apply("M", { recipients: [0], state: { kind: "bounced" }, timestamp: 1 }, "segment-s");
  assert.deepEqual(
    [...known.of("M").values()].map(({ kind }) => kind),
    ["bounced", "failed"],
  );
  assert.ok(known.isSettled("M", 1) && !known.isSettled("M", 2));
  implied.dropSource("segment-s");
  assert.ok(!known.isSettled("M", 1), "the writer has taken its record back");
});
