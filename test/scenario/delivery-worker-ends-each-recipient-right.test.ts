/** Delivery worker and bounce service together: what servers answer, what the recipients' and the sender's servers get. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { type SmtpScript, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const fast = { retry: ["200ms"], delay_warning: 0 as const };

/** A server for the recipients (example.com), one for the sender, and the gateway between them. */
async function world(t: TestContext, script: SmtpScript, given: Parameters<typeof createMailFlow>[1] = {}) {
  const remote = await startSmtpPeer({ script });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: fast,
    dsn: { wave: "300ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
    ...given,
  });
  await flow.startDelivery();
  await flow.startBounce();
  return { remote, home, flow };
}

test("delivered, deferred twice, refused: two arrive, one notification names the third", async (t) => {
  let tries = 0;
  const { remote, home, flow } = await world(t, {
    rcpt(address) {
      if (address.startsWith("gone")) return "550 5.1.1 no such user";
      if (address.startsWith("busy") && tries++ < 2) return "450 4.2.0 try later";
      return undefined;
    },
  });
  const { meta } = await flow.accept({ to: ["bob@example.com", "busy@example.com", "gone@example.com"] });
  await waitFor(
    "the notification and both copies",
    () => home.received.length === 1 && remote.received.length === 2,
  );
  assert.deepEqual(
    remote.received.map(({ to }) => to.map(({ address }) => address)),
    [["bob@example.com"], ["busy@example.com"]],
  );
  const [notification] = home.received;
  assert.equal(notification?.from, "");
  assert.deepEqual(
    notification?.to.map(({ address }) => address),
    ["alice@sender.example"],
  );
  const text = notification?.data.toString() ?? "";
  assert.match(text, /Final-Recipient: rfc822; gone@example.com\r\nAction: failed\r\nStatus: 5\.1\.1\r\n/);
  assert.match(text, /Diagnostic-Code: smtp; 550 5\.1\.1 no such user\r\n/);
  assert.doesNotMatch(text, /busy@|bob@/);
  await waitFor(
    "everything to be settled",
    async () => (await flow.kinds(meta.id)).join() === "delivered,delivered,bounced",
  );
  const events = flow.events.filter(({ id }) => id === meta.id).map(({ event }) => event);
  assert.deepEqual(
    new Set(events),
    new Set([
      "delivery.attempt",
      "delivery.delivered",
      "delivery.deferred",
      "delivery.rejected",
      "dsn.made",
      "message.settled",
    ]),
  );
});

test("refusals of several jobs of a message that come close together share one notification", async (t) => {
  const { home, flow } = await world(t, { rcpt: () => "550 5.1.1 no such user" });
  const { meta } = await flow.accept({ to: ["a@example.com", "b@example.com", "c@example.com"] }, [
    [0],
    [1],
    [2],
  ]);
  await waitFor("the notification", () => home.received.length > 0);
  await waitFor(
    "all to be settled",
    async () => (await flow.kinds(meta.id)).join() === "bounced,bounced,bounced",
  );
  assert.equal(home.received.length, 1);
  const text = home.received[0]?.data.toString() ?? "";
  for (const address of ["a@example.com", "b@example.com", "c@example.com"]) {
    assert.match(text, new RegExp(`Final-Recipient: rfc822; ${address}`));
  }
});

test("a server that is down: the mail waits, and arrives when it is back; the sender gets no notification", async (t) => {
  const { remote, home, flow } = await world(t, {});
  await remote.stop();
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  await waitFor("a deferral", () => flow.events.find(({ event }) => event === "delivery.deferred"));
  const again = await startSmtpPeer({ port: remote.port });
  t.after(() => again.stop());
  await waitFor("the mail", () => again.received.length === 1);
  await waitFor("it to be settled", async () => (await flow.kinds(meta.id)).join() === "delivered");
  assert.equal(home.received.length, 0);
  const deferred = flow.events.find(({ event }) => event === "delivery.deferred");
  assert.equal(deferred?.class, "connect");
});

test("an expired message comes back with 5.4.7 and what the server last said, after one delay warning", async (t) => {
  const { home, flow } = await world(
    t,
    { rcpt: () => "451 4.7.1 Greylisted for ever" },
    { queue: { retry: ["300ms"], delay_warning: "500ms", expire: "2s" } },
  );
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  await waitFor("both notifications", () => home.received.length === 2);
  const [warning, bounce] = home.received.map(({ data }) => data.toString());
  assert.match(warning ?? "", /Action: delayed\r\nStatus: 4\.7\.1\r\n/);
  assert.match(warning ?? "", /Will-Retry-Until: /);
  assert.match(bounce ?? "", /Action: failed\r\nStatus: 5\.4\.7\r\n/);
  assert.match(bounce ?? "", /Diagnostic-Code: smtp; 451 4\.7\.1 Greylisted for ever\r\n/);
  await waitFor("it to be settled", async () => (await flow.kinds(meta.id)).join() === "bounced");
});

test("relay.backup takes over mail that a failure of its class has kept from its own route for so long", async (t) => {
  const backup = await startSmtpPeer();
  const dead = await startSmtpPeer();
  await dead.stop();
  t.after(() => backup.stop());
  const flow = await createMailFlow(t, {
    queue: fast,
    relay: {
      hosts: { isp: { host: "127.0.0.1", port: backup.port, tls: "none" } },
      routes: [{ to: "*@example.com", via: `127.0.0.1:${dead.port}` }],
      backup: { via: "isp", after: "1s", on: ["connect"] },
    },
  });
  await flow.startDelivery();
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  await waitFor("the mail at the backup", () => backup.received.length === 1);
  const attempts = flow.events
    .filter(({ event }) => event === "delivery.attempt")
    .map(({ nextHop }) => nextHop);
  assert.ok(attempts.length > 1);
  assert.equal(attempts.at(-1), `isp (127.0.0.1:${backup.port})`);
  assert.ok(attempts.slice(0, -1).every((hop) => hop === `127.0.0.1:${dead.port}`));
  const line = await waitFor("its log line", () =>
    flow.events.find(({ event }) => event === "delivery.delivered"),
  );
  assert.ok(Number(line.delayMs) >= 1000);
  assert.equal(line.id, meta.id);
});

test("RFC 3461 §5.2.2: NOTIFY=SUCCESS through a server without DSN is answered with a relayed report", async (t) => {
  const remote = await startSmtpPeer({ extensions: ["8BITMIME"] });
  t.after(() => remote.stop());
  const { home, flow } = await world(t, {}, undefined);
  const other = await createMailFlow(t, {
    queue: fast,
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  await other.startDelivery();
  await other.startBounce();
  const recipients = [{ address: "bob@example.com", notify: ["SUCCESS" as const] }];
  // A server that offers DSN gets the parameter, and the gateway reports nothing.
  await flow.accept({ to: [], recipients });
  await waitFor("the delivery", () => flow.events.find(({ event }) => event === "message.settled"));
  await other.accept({ to: [], recipients });
  await waitFor("the report", () => home.received.length > 0);
  assert.equal(home.received.length, 1);
  assert.match(home.received[0]?.data.toString() ?? "", /Action: relayed\r\nStatus: 2\.0\.0\r\n/);
});

test("RFC 3461 §5.2.2: mail that the queue delivers to a protected server without DSN is reported as relayed too", async (t) => {
  const own = await startSmtpPeer({ extensions: ["8BITMIME"] });
  t.after(() => own.stop());
  const { home, flow } = await world(
    t,
    {},
    { protected: [{ domains: ["own.example"], servers: [`127.0.0.1:${own.port}`] }] },
  );
  const recipients = [{ address: "bob@own.example", notify: ["SUCCESS" as const] }];
  await flow.accept({ to: [], recipients });
  const report = await waitFor("the report", () => home.received[0]?.data.toString());
  assert.equal(own.received.length, 1);
  assert.match(report, /Final-Recipient: rfc822; bob@own\.example\r\nAction: relayed\r\nStatus: 2\.0\.0\r\n/);
  assert.equal(home.received.length, 1);
});

test("RFC 8689 §4.2.1, §5: REQUIRETLS that cannot be kept comes back at once, with the header only", async (t) => {
  const { remote, home, flow } = await world(t, {});
  const { meta } = await flow.accept({ to: ["bob@example.com"], requireTls: true, ret: "FULL" });
  const report = await waitFor("the notification", () => home.received[0]?.data.toString());
  assert.equal(remote.received.length, 0);
  assert.match(report, /Action: failed\r\nStatus: 5\.7\.10\r\n/);
  assert.match(report, /\r\nContent-Type: text\/rfc822-headers\r\n/);
  assert.doesNotMatch(report, /Hello\./);
  await waitFor("it to be settled", async () => (await flow.kinds(meta.id)).join() === "bounced");
});
