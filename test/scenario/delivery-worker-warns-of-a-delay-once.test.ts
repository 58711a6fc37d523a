/** Delivery worker and bounce service together: the delay warning, and a Redis that forgets that it was sent. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("the sender is warned of a delay once, also when Redis is emptied afterwards (RFC 3461 §4.1)", async (t) => {
  let isOpen = false;
  const remote = await startSmtpPeer({
    script: { rcpt: () => (isOpen ? undefined : "450 4.2.0 try later") },
  });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { retry: ["300ms"], delay_warning: "500ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
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

test("a message that is late at three destinations leads to one warning, which names all three", async (t) => {
  const remote = await Promise.all(
    [1, 2, 3].map((n) => startSmtpPeer({ script: { rcpt: () => `450 4.2.0 busy ${n}` } })),
  );
  const home = await startSmtpPeer();
  t.after(() => Promise.all([...remote, home].map((peer) => peer.stop())));
  const flow = await createMailFlow(t, {
    queue: { retry: ["300ms"], delay_warning: "500ms" },
    dsn: { wave: "100ms" },
    relay: {
      routes: [
        ...remote.map(({ port }, n) => ({ to: `*@far${n + 1}.example`, via: `127.0.0.1:${port}` })),
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  await flow.startDelivery();
  const to = ["bob@far1.example", "carol@far2.example", "dave@far3.example"];
  const { meta } = await flow.accept({ to }, [[0], [1], [2]]);
  const states = async () => [...(await flow.spool.states(meta.id, true)).values()];
  await waitFor("all to be late", async () => {
    const late = (await states()).filter((state) => state.kind === "pending" && state.delay !== undefined);
    return late.length === 3;
  });
  await flow.startBounce();
  await waitFor("the sender to be warned", async () => {
    const warned = (await states()).filter((state) => state.kind === "pending" && state.warned === true);
    return warned.length === 3;
  });
  await waitFor("the warning", () => home.received.length > 0);
  await waitFor(
    "no more to be made",
    async () => (await flow.redis.command(`EXISTS {postern}:bounce:${meta.id}-delayed`)) === ":0\r\n",
  );
  assert.equal(flow.events.filter(({ event }) => event === "dsn.made").length, 1);
  const text = home.received[0]?.data.toString() ?? "";
  for (const [n, address] of to.entries()) {
    assert.ok(text.includes(`Final-Recipient: rfc822; ${address}`), address);
    assert.ok(text.includes(`450 4.2.0 busy ${n + 1}`));
  }
});

test("the warning of a delay that was recorded before a crash is sent after it", async (t) => {
  const remote = await startSmtpPeer({ script: { rcpt: () => "450 4.2.0 try later" } });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { delay_warning: 0 },
    dsn: { wave: "100ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  const diagnosis = {
    status: "4.2.0" as const,
    class: "4xx" as const,
    reason: "try later",
    atMs: Date.now(),
  };
  const delay = { diagnosis, willRetryUntilMs: Date.now() + 3_600_000 };
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  // As it stands after a crash between the status log and the bounce queue.
  await flow.spool.settle([{ id: meta.id, recipients: [0], state: { kind: "pending", delay } }]);
  await flow.startBounce();
  await flow.startDelivery();
  await waitFor("the warning", () => home.received.length === 1);
  assert.match(home.received[0]?.data.toString() ?? "", /Action: delayed/);
});
