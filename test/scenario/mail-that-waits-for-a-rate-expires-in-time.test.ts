/** Delivery worker and bounce service together: a destination whose rate is used up for longer than the mail lives. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("mail that waits for a rate says so in its job, warns its sender of the delay, and expires in time", async (t) => {
  const remote = await startSmtpPeer({ address: "127.0.0.2" });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { retry: ["300ms"], delay_warning: "1s", expire: "2s" },
    dsn: { wave: "100ms" },
    limits: { destinations: [{ match: "127.0.0.2", rate: "1/10m" }] },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.2:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  await flow.startDelivery();
  await flow.startBounce();
  const first = await flow.accept({ to: ["bob@example.com"] });
  await waitFor(
    "the first is delivered",
    async () => (await flow.kinds(first.meta.id)).join() === "delivered",
  );
  const { meta } = await flow.accept({ to: ["bob@example.com"] });
  const key = `{postern}:delivery:${meta.id}-0`;
  await waitFor("its job says why it waits", async () =>
    /"attempts":0,.*"reason":"[^"]*rate/.test(await flow.redis.command(`HGET ${key} data`)),
  );
  const action = (text: string) => /^Action: (.*)$/m.exec(text)?.[1]?.trim();
  await waitFor("the warning and the notification", () => home.received.length === 2);
  assert.deepEqual(
    home.received.map(({ data }) => action(data.toString())),
    ["delayed", "failed"],
  );
  assert.match(home.received[1]?.data.toString() ?? "", /5\.4\.7/);
  assert.equal(remote.received.length, 1);
  assert.deepEqual(await flow.kinds(meta.id), ["bounced"]);
});
