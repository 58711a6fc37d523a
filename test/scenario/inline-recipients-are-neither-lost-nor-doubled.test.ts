import assert from "node:assert/strict";
import { test } from "node:test";
import { deliveredRecipients, greeted, queuedRecipients, send, startInlineFlow } from "../support/inline.ts";
import { type Answer, close, hang, reset, thenClose } from "../support/smtp-peer.ts";

const rounds = 150;
const seed = Number(Date.now() % 1_000_000);

/** mulberry32 */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("whatever the remote server does: a recipient that got 250 is delivered or in the spool, once; one that did not is neither", async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const refusals: readonly Answer[] = [
    "451 4.3.0 later",
    "452 4.3.1 full",
    "550 5.7.1 no",
    "554 5.7.1 no",
    thenClose("421 4.3.2 going down"),
  ];
  const failures: readonly Answer[] = [...refusals, close, reset];
  /** Each takes the time-out, which is long enough for a busy machine: a few are enough. */
  const hangShare = 0.02;
  /** A quarter of the commands of a failing round fail; the rounds between let sessions be shared. */
  let share = 0;
  const maybe = (): Answer | undefined =>
    random() >= share ? undefined : random() < hangShare ? hang : pick(failures);
  /** Recipients whose message came whole, and got no reply to its dot: they may have it. */
  const uncertain: string[] = [];
  const { peer, sessions } = await startInlineFlow(
    t,
    {
      script: {
        // A server that does not answer is not tried for a while: nothing more would go inline.
        connect: () => (random() < share ? pick(refusals) : undefined),
        ehlo: maybe,
        mail: maybe,
        rcpt: maybe,
        data: maybe,
        message({ to }) {
          const said = maybe();
          if (said !== undefined && typeof said !== "string" && !("reply" in said)) {
            uncertain.push(...to.map(({ address }) => address));
          }
          return said;
        },
        rset: maybe,
      },
    },
    {
      config: {
        timeouts: { inline: "500ms", dot: "3s" },
        limits: { destinations: [{ match: "*", connections: 2 }], clients: {}, dead_destination: 0 },
      },
    },
  );

  const promised: string[] = [];
  const refused: string[] = [];
  async function oneClient(name: string): Promise<void> {
    const client = await greeted(sessions);
    for (let i = 0; i < 3; i++) {
      const names = Array.from({ length: 1 + Math.floor(random() * 4) }, (_, n) => `${name}-${i}-${n}`);
      const to = names.map((local) => `${local}@${random() < 0.8 ? "example.com" : "elsewhere.example"}`);
      const sent = await send(
        client,
        to.map((address) => `<${address}>`),
      );
      const isAccepted = sent.dot?.startsWith("250") === true;
      for (const [n, address] of to.entries()) {
        if (isAccepted && sent.rcpt[n]?.startsWith("250")) promised.push(address);
        else refused.push(address);
      }
      if (sent.dot === undefined) await client.command("RSET");
    }
    await client.command("QUIT");
  }
  for (let round = 0; round < rounds; round++) {
    share = round % 3 === 0 ? 0 : random() * 0.3;
    await Promise.all(
      Array.from({ length: 1 + Math.floor(random() * 3) }, (_, c) => oneClient(`r${round}-${c}`)),
    );
  }

  const copies = new Map<string, number>();
  for (const address of [...deliveredRecipients(peer), ...queuedRecipients(sessions)]) {
    copies.set(address, (copies.get(address) ?? 0) + 1);
  }
  t.diagnostic(
    `${promised.length} promised, ${refused.length} refused, ${deliveredRecipients(peer).length} delivered`,
  );
  assert.ok(promised.length > rounds && refused.length > 0 && deliveredRecipients(peer).length > 0);
  assert.ok(queuedRecipients(sessions).length > 0);
  for (const address of promised) assert.equal(copies.get(address), 1, `${address}, seed ${seed}`);
  for (const address of refused) assert.equal(copies.get(address), undefined, `${address}, seed ${seed}`);
  // Without a reply to the dot no recipient counts as delivered: the queue tries again.
  for (const address of uncertain) assert.ok(queuedRecipients(sessions).includes(address), address);
  assert.equal(sessions.openDrafts, 0);
});
