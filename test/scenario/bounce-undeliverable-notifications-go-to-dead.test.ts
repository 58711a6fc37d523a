/** Notifications that the sender's server does not take, or whose enqueueing was lost. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { createNotifier } from "../../services/bounce/notifier.ts";
import { createBounceMetrics } from "../../services/bounce/publish.ts";
import { createMailFlow } from "../support/mail-flow.ts";
import { routeNamed } from "../support/route-named.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("a notification that the sender's server refuses makes no other notification: it is dead, once", async (t) => {
  const remote = await startSmtpPeer({ script: { rcpt: () => "550 5.1.1 no such user" } });
  t.after(() => remote.stop());
  const flow = await createMailFlow(t, {
    queue: { retry: ["200ms"], delay_warning: 0 },
    dsn: { wave: "100ms" },
    relay: { routes: [{ to: "*", via: `127.0.0.1:${remote.port}` }] },
  });
  await flow.startDelivery();
  await flow.startBounce();
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  const death = await waitFor("message.dead", () =>
    flow.events.find(({ event }) => event === "message.dead"),
  );
  assert.equal(death.from, "");
  assert.deepEqual(death.to, ["alice@sender.example"]);
  const made = flow.events.filter(({ event }) => event === "dsn.made");
  assert.deepEqual(
    made.map(({ id }) => id),
    [meta.id],
  );
  assert.equal(made[0]?.dsnId, death.id);
  await waitFor("the dead queue to have it", async () =>
    (await flow.redis.command(`EXISTS {postern}:dead:${death.id}-0`)).startsWith(":1"),
  );
  assert.deepEqual(await flow.kinds(String(death.id)), ["dead"]);
  assert.deepEqual(await flow.kinds(meta.id), ["bounced"]);
});

test("a notification whose enqueueing was lost with the process is found in the spool and delivered", async (t) => {
  const home = await startSmtpPeer();
  t.after(() => home.stop());
  const flow = await createMailFlow(t, {
    relay: { routes: [{ to: "*@sender.example", via: `127.0.0.1:${home.port}` }] },
  });
  const { meta, locator } = await flow.accept({ to: ["bob@example.com"] });
  const diagnosis = {
    status: "5.1.1" as const,
    class: "5xx" as const,
    reason: "no such user",
    atMs: Date.now(),
  };
  await flow.spool.settle([{ id: meta.id, recipients: [0], state: { kind: "failed", diagnosis } }]);
  const handle = createNotifier({
    config: flow.config,
    log: pino({ enabled: false }),
    metrics: createBounceMetrics(),
    spool: flow.spool,
    // The process ends here, after the commit and before the enqueue.
    schedule: () => {},
    addDead: async () => {},
    summarizeRoute: () => routeNamed(""),
    now: Date.now,
    random: () => crypto.getRandomValues(new Uint8Array(9)),
  });
  const job = { version: 1 as const, kind: "failed" as const, id: meta.id, locator };
  await handle({ jobId: "", job, signal: new AbortController().signal });
  assert.deepEqual(await flow.kinds(meta.id), ["bounced"]);
  await flow.startDelivery();
  await waitFor("the notification", () => home.received.length === 1);
  assert.match(home.received[0]?.data.toString() ?? "", /Final-Recipient: rfc822; bob@example.com/);
});
