import assert from "node:assert/strict";
import { test } from "node:test";
import { createMailFlow } from "../support/mail-flow.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

test("RFC 8689: REQUIRETLS holds for the new next hop too; other mail goes there in its first attempt", async (t) => {
  const [before, plain] = await Promise.all([startSmtpPeer(), startSmtpPeer()]);
  t.after(() => Promise.all([before.stop(), plain.stop()]));
  const flow = await createMailFlow(t, { relay: { routes: [{ to: "*", via: `127.0.0.1:${before.port}` }] } });
  const secret = await flow.accept({ to: ["secret@example.com"], requireTls: true });
  const open = await flow.accept({ to: ["open@example.com"] });
  const via = `127.0.0.1:${plain.port}`;
  await flow.spool.settle(
    [secret, open].map(({ meta }) => ({ id: meta.id, recipients: [0], state: { kind: "pending", via } })),
  );
  await flow.startDelivery();
  await waitFor("both to be tried", async () => {
    const kinds = await Promise.all([flow.kinds(secret.meta.id), flow.kinds(open.meta.id)]);
    return kinds.join(" ") === "failed delivered";
  });
  assert.deepEqual(
    plain.received.flatMap(({ to }) => to.map(({ address }) => address)),
    ["open@example.com"],
  );
  assert.equal(before.received.length, 0);
});
