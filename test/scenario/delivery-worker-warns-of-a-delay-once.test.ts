/** Delivery worker and bounce service together: the delay warning, and a Redis that forgets that it was sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("the sender is warned of a delay once, also when Redis is emptied afterwards (RFC 3461 §4.1)", async (t) => {
  let isOpen = false;
  const far = await startSmtpPeer({ script: { rcpt: () => (isOpen ? undefined : "450 4.2.0 try later") } });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([far.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { retry: ["300ms"], delay_warning: "500ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${far.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  await flow.startDelivery();
  await flow.startBounce();
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  await waitFor("the warning", () => home.received.length === 1);
  assert.match(home.received[0]?.data.toString() ?? "", /Action: delayed/);
  await waitFor(
    "a job that waits",
    async () => (await flow.spool.states(meta.id, true)).get(0)?.kind === "pending",
  );

  await flow.redis.flush();
  const firstTries = () =>
    flow.events.filter(
      ({ event, id, attempt }) => event === "delivery.attempt" && id === meta.id && attempt === 1,
    );
  await waitFor("its history to be forgotten", () => firstTries().length === 2);
  const tries = flow.events.filter(({ event, id }) => event === "delivery.deferred" && id === meta.id).length;
  await waitFor(
    "further tries",
    () =>
      flow.events.filter(({ event, id }) => event === "delivery.deferred" && id === meta.id).length >
      tries + 2,
  );
  isOpen = true;
  await waitFor("the delivery", async () => (await flow.kinds(meta.id)).join() === "delivered");
  assert.equal(home.received.length, 1, "no second warning");
});
