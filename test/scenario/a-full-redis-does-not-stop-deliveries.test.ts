/** Redis at `maxmemory` with `noeviction`: it refuses commands that need memory, and deliveries make room. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createProducer } from "../../shared/queue/producer.ts";
import { createPublisher } from "../../shared/queue/publisher.ts";
import { createLogger } from "../../shared/runtime/log.ts";
import { createMailFlow } from "../support/mail-flow.ts";
import { routeNamed } from "../support/route-named.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";
import { accept, storedMessage } from "../unit/queue/stored-message.ts";

test("what waits is delivered, returned or deferred while Redis is full, and new mail waits in the spool", async (t) => {
  const remote = await startSmtpPeer({
    script: {
      rcpt: (line: string) =>
        /refused@/.test(line) ? "550 5.1.1 no such user" : /busy@/.test(line) ? "450 4.2.1 busy" : undefined,
    },
  });
  const home = await startSmtpPeer();
  t.after(() => Promise.all([remote.stop(), home.stop()]));
  const flow = await createMailFlow(t, {
    queue: { retry: ["1h"] },
    dsn: { wave: "100ms" },
    relay: {
      routes: [
        { to: "*@example.com", via: `127.0.0.1:${remote.port}` },
        { to: "*@sender.example", via: `127.0.0.1:${home.port}` },
      ],
    },
  });
  const log = createLogger("test", { write() {} });
  const producer = createProducer({ url: flow.redis.url }, log);
  const publisher = createPublisher(producer, log);
  t.after(async () => {
    await publisher.close(0);
    await producer.close();
  });
  const ids: string[] = [];
  for (const to of ["bob", "carol", "refused", "busy"])
    ids.push((await flow.accept({ to: [`${to}@example.com`] })).meta.id);
  await waitFor("the publisher has asked for its scan", async () =>
    /[1-9]/.test((await flow.redis.command("GET {postern}:keeper:scans")).slice(3)),
  );
  await flow.redis.command("CONFIG SET maxmemory 1");
  const message = storedMessage({ from: "alice@sender.example", to: ["dave@example.com"] });
  message.meta.size = "Subject: hello\r\n\r\nhello\r\n".length;
  const latest = await accept(flow.spool, message);
  publisher.publish(latest, [routeNamed("mx")]);
  const delivery = await flow.startDelivery();
  await flow.startBounce();
  const kinds = async () => (await Promise.all(ids.map((id) => flow.kinds(id)))).map((each) => each.join());
  await waitFor(
    "what waited is settled",
    async () => (await kinds()).join() === "delivered,delivered,bounced,",
  );
  const busy = `${ids[3]}-0`;
  await waitFor("the busy one is deferred", async () =>
    (await flow.redis.command("ZRANGE {postern}:delivery:delayed 0 -1")).includes(busy),
  );
  assert.equal(publisher.backlog, 1, "the latest waits: its job would need memory");
  await waitFor("the health says so", async () =>
    (await delivery.health()).warnings?.includes(
      "1 message waits in the spool until Redis has room; raise maxmemory",
    ),
  );

  await flow.redis.command("CONFIG SET maxmemory 0");
  await waitFor(
    "the latest is delivered",
    async () => (await flow.kinds(latest.meta.id)).join() === "delivered",
  );
  await waitFor("the sender hears of the failure", () => home.received.length === 1);
  await waitFor("the health is well again", async () => (await delivery.health()).warnings === undefined);
});
