import assert from "node:assert/strict";
import { test } from "node:test";
import type { FsSpool } from "../../../shared/spool/fs/fs-spool.ts";
import { createMemorySpool } from "../../../shared/spool/memory.ts";
import type { RecipientState } from "../../../shared/spool/recipient-state.ts";
import type { Spool, StoredMessage } from "../../../shared/spool/spool.ts";
import { bodyOf, someDiagnosis, someMeta } from "../../contract/spool.ts";
import { makeSpoolFixture } from "./spool-fixture.ts";

/** A small deterministic generator (Park and Miller), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed * 7919;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const states: RecipientState[] = [
  { kind: "pending" },
  { kind: "delivered" },
  { kind: "delivered" },
  { kind: "delivered" },
  { kind: "removed" },
  { kind: "bounced" },
  { kind: "failed", diagnosis: someDiagnosis },
  { kind: "dead", diagnosis: someDiagnosis, atMs: 1 },
];

async function commit(
  spool: Spool,
  body: Buffer,
  meta: ReturnType<typeof someMeta>,
  settles?: Parameters<Spool["settle"]>[0][0],
) {
  const draft = spool.draft();
  for (let at = 0; at < body.length; at += 777) await draft.write(body.subarray(at, at + 777));
  return draft.commit(meta, settles);
}

async function unsettledStates(spool: Spool) {
  const found = new Map<string, ReadonlyMap<number, RecipientState>>();
  for await (const { meta, states } of spool.unsettled()) found.set(meta.id, states);
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

for (let seed = 1; seed <= 6; seed++) {
  test(`random work by two processes on one spool has the same result as in memory (seed ${seed})`, async (t) => {
    const random = generator(seed);
    const fixture = makeSpoolFixture(t, {
      segmentBytes: 8000,
      logBytes: 500,
      largeBytes: 4000,
      draftMemoryBytes: 9000,
      moveAfterMs: 0,
      moveShare: 0.4,
      forgetAfterMs: 0,
    });
    const model = createMemorySpool({ largeBytes: 4000 });
    const spools: [FsSpool, FsSpool] = [fixture.open(), fixture.open()];
    const stored: { message: StoredMessage; body: Buffer }[] = [];
    const anyMessage = () => stored[random(stored.length)];
    for (let step = 0; step < 250; step++) {
      const which = random(2) as 0 | 1;
      const spool = spools[which];
      const existing = anyMessage();
      const choice = random(20);
      if (choice < 8 || existing === undefined) {
        const body = Buffer.alloc([0, 10, 500, 2000, 4001, 9000][random(6)] ?? 0, step % 256);
        const meta = someMeta(1 + random(3));
        const settles =
          existing !== undefined && random(4) === 0
            ? { id: existing.message.meta.id, recipients: [0], state: { kind: "bounced" as const } }
            : undefined;
        stored.push({ message: await commit(spool, body, meta, settles), body });
        await commit(model, body, meta, settles);
      } else if (choice < 15) {
        const { id, envelope } = existing.message.meta;
        const recipients = envelope.recipients.map((_, n) => n).filter(() => random(3) > 0);
        const settlement = { id, recipients, state: states[random(states.length)] ?? { kind: "pending" } };
        // So that this settlement is later than what another process has just recorded.
        await spool.states(id, true);
        await Promise.all([spool.settle([settlement]), model.settle([settlement])]);
      } else if (choice < 17) {
        await spool.collect();
      } else if (choice < 18) {
        await spool.close();
        spools[which] = fixture.open();
      } else if (choice < 19) {
        const { id } = existing.message.meta;
        await Promise.all(spools.map((one) => one.states(id, true)));
      } else {
        await assertSame(spools[which], model, stored);
      }
    }
    for (const spool of spools) await assertSame(spool, model, stored);
    const { faults } = fixture;
    assert.deepEqual(faults, []);
  });
}

async function assertSame(spool: FsSpool, model: Spool, stored: { message: StoredMessage; body: Buffer }[]) {
  await spool.states("x", true);
  const expected = await unsettledStates(model);
  assert.deepEqual(await unsettledStates(spool), expected);
  const ids = new Set(expected.map(([id]) => id));
  for (const { message, body } of stored) {
    if (!ids.has(message.meta.id)) continue;
    assert.deepEqual(await spool.states(message.meta.id), await model.states(message.meta.id));
    const read = await spool.read(message.meta.id, message.locator);
    assert.deepEqual(read?.meta, message.meta);
    assert.ok(read && (await bodyOf(read.body)).equals(body));
  }
}
