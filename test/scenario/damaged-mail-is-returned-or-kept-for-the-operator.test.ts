/** One flipped bit in the spool: in the body of a message, or in its envelope. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { flipBit } from "../support/damage.ts";
import { storeInFinishedSegments } from "../support/finished-segments.ts";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const subject = "Subject: the secret subject\r\n\r\nthe secret body\r\n";

/** A gateway whose spool has messages that no queue knows of yet, in a segment that is finished. */
async function world(t: TestContext, addresses: string[], queue: Record<string, unknown> = {}) {
  const remote = await startSmtpPeer();
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { retry: ["200ms"], delay_warning: 0, ...queue },
    dsn: { wave: "100ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  const directory = join(flow.config.data, "spool");
  const stored = await storeInFinishedSegments(directory, addresses, subject);
  const deadRows = async () =>
    Number(/^:(\d+)/.exec(await flow.redis.command("LLEN {postern}:dead:wait"))?.[1]);
  return { remote, home, flow, directory, stored, deadRows };
}

test("a message with a flipped bit in its body comes back with 5.3.0 and nothing attached, and its space is freed", async (t) => {
  const { remote, home, flow, directory, stored } = await world(t, ["bob@example.com", "carol@example.com"]);
  const [bob, carol] = stored as [StoredMessage, StoredMessage];
  flipBit(directory, carol, -4);
  await flow.startBounce();
  await flow.startDelivery();
  await waitFor("the notification", () => home.received.length === 1);
  const text = home.received[0]?.data.toString() ?? "";
  assert.match(text, /Final-Recipient: rfc822; carol@example.com\r\nAction: failed\r\nStatus: 5\.3\.0\r\n/);
  assert.doesNotMatch(text, /secret/);
  await waitFor("the other message", () => remote.received.length === 1);
  assert.deepEqual(
    remote.received[0]?.to.map(({ address }) => address),
    ["bob@example.com"],
  );
  assert.equal((await flow.kinds(carol.meta.id)).join(), "bounced");
  await waitFor("the segment to be freed", async () => {
    await flow.spool.collect();
    return !readdirSync(join(directory, "segments")).includes(`${bob.locator.segment}.seg`);
  });
});

test("a message with a flipped bit in its envelope is in dead, also after FLUSHALL, until its time is over", async (t) => {
  const { remote, flow, directory, stored, deadRows } = await world(
    t,
    ["bob@example.com", "carol@example.com"],
    {
      dead_retention: "4s",
    },
  );
  const [bob, carol] = stored as [StoredMessage, StoredMessage];
  flipBit(directory, carol, 80);
  await flow.startDelivery();
  await waitFor("the other message", () => remote.received.length === 1);
  await waitFor("a dead job", async () => (await deadRows()) === 1);
  assert.equal((await flow.kinds(carol.meta.id)).join(), "dead");
  await flow.redis.flush();
  await waitFor("the dead job after FLUSHALL", async () => (await deadRows()) === 1);
  await waitFor("its time in dead to end", async () => (await deadRows()) === 0);
  assert.equal((await flow.kinds(carol.meta.id)).join(), "removed");
  await waitFor("the segment to be put aside", async () => {
    await flow.spool.collect();
    return readdirSync(join(directory, "damaged")).includes(`${bob.locator.segment}.seg`);
  });
});
