/** NOTIFY=SUCCESS through a server without DSN, while no bounce service runs. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { StoredMessage } from "../../shared/spool/spool.ts";
import { storeInFinishedSegments } from "../support/finished-segments.ts";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("the sender hears of a delivery although the bounce service was down and Redis was emptied meanwhile", async (t) => {
  const remote = await startSmtpPeer({ extensions: ["8BITMIME"] });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { retry: ["200ms"], delay_warning: 0 },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  const directory = join(flow.config.data, "spool");
  const recipient = { address: "bob@example.com", notify: ["SUCCESS" as const] };
  const [stored] = await storeInFinishedSegments(directory, [recipient], "Subject: hello\r\n\r\nHello.\r\n");
  const { meta, locator } = stored as StoredMessage;
  await flow.startDelivery();
  await waitFor("the delivery", async () => `${await flow.kinds(meta.id)}` === "delivered");
  await flow.spool.collect();
  assert.ok(readdirSync(join(directory, "segments")).includes(`${locator.segment}.seg`));
  await flow.redis.flush();
  await flow.startBounce();
  await waitFor("the report", () => home.received.length > 0);
  const text = home.received[0]?.data.toString() ?? "";
  assert.match(text, /Final-Recipient: rfc822; bob@example.com\r\nAction: relayed\r\nStatus: 2\.0\.0\r\n/);
  await waitFor("the message to be freed", async () => {
    await flow.spool.collect();
    return !readdirSync(join(directory, "segments")).includes(`${locator.segment}.seg`);
  });
  assert.equal(remote.received.length, 1);
  assert.equal(home.received.length, 1);
});
