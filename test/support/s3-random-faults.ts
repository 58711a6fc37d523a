/** Two processes on one store while half of all requests fail: what was acknowledged is there, what was refused is not. */
import assert from "node:assert/strict";
import type { S3SpoolOptions } from "../../shared/spool/s3/options.ts";
import type { S3Spool } from "../../shared/spool/s3/s3-spool.ts";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { bodyOf, store, unsettledIds } from "../contract/spool.ts";
import { type Fault, type FaultProxy, serverError, slowDown } from "./s3-fault-proxy.ts";
import { waitFor } from "./wait-for.ts";

/** A small deterministic generator (Park and Miller), so that a failure repeats. */
function generator(seed: number): (below: number) => number {
  let state = seed * 7919;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

const faultKinds: Fault[] = [
  slowDown,
  serverError,
  { do: "reset" },
  { do: "lose" },
  { do: "truncate" },
  { do: "stale" },
];

/**
 * @param open    opens a spool behind the proxy
 * @param rounds  of fifteen messages each
 * @returns what happened, in words
 */
export async function workThroughFaults(
  { proxy, open }: { proxy: FaultProxy; open(options: Partial<S3SpoolOptions>): Promise<S3Spool> },
  seed: number,
  rounds: number,
): Promise<string> {
  const random = generator(seed);
  const options = { repeatMs: 150, moveAfterMs: 0, lingerMs: 0, followMs: 50 };
  const spools = [await open(options), await open(options)] as const;
  proxy.decide = () => (random(2) === 0 ? faultKinds[random(faultKinds.length)] : undefined);
  const accepted = new Map<string, { stored: StoredMessage; size: number }>();
  const settled = new Set<string>();
  let refused = 0;
  const work = async (n: number): Promise<void> => {
    const spool = spools[n % 2 === 0 ? 0 : 1];
    const size = n % 9 === 0 ? 100_000 : 10 + random(3000);
    try {
      const stored = await store(spool, Buffer.alloc(size, n));
      accepted.set(stored.meta.id, { stored, size });
      if (n % 3 === 0) return;
      settled.add(stored.meta.id);
      // A settlement that is refused is recorded later.
      await spool
        .settle([{ id: stored.meta.id, recipients: [0], state: { kind: "delivered" } }])
        .catch(() => {});
    } catch {
      refused++;
    }
  };
  for (let round = 0; round < rounds; round++) {
    await Promise.all(Array.from({ length: 15 }, (_, n) => work(round * 15 + n)));
    await Promise.allSettled(spools.map((spool) => spool.collect()));
  }
  proxy.decide = () => undefined;
  await Promise.all(spools.map((spool) => spool.recordSettlements()));
  await Promise.all(spools.map((spool) => spool.collect()));
  const expected = [...accepted.keys()].filter((id) => !settled.has(id)).sort();
  const other = await open(options);
  const found = async (): Promise<string[]> => [...new Set(await unsettledIds(other))].sort();
  await waitFor("what was refused to be withdrawn", async () => (await found()).length === expected.length);
  assert.deepEqual(await found(), expected);
  for (const id of expected) {
    const { stored, size } = accepted.get(id) ?? assert.fail();
    const message = await other.read(id, stored.locator);
    assert.ok(message, `${id} is found`);
    assert.equal((await bodyOf(message.body)).length, size);
  }
  return `${accepted.size} accepted, ${refused} refused, ${settled.size} settled`;
}
