import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const stranger = "127.66.0.9";
const client = "127.0.0.1";

/** A protected server that refuses `gone` for good and `later` for now, and one for the senders' domain. */
async function start(
  t: TestContext,
  given: Parameters<typeof startGateway>[0],
): Promise<[Gateway, SmtpPeer]> {
  const server = await startSmtpPeer({
    script: {
      rcpt: (address) => (address.startsWith("gone@") ? "550 5.1.1 no such user" : "451 4.3.0 later"),
    },
  });
  const senders = await startSmtpPeer({});
  const gateway = await startGateway({
    protected: [{ domains: ["prot.test"], servers: [`${server.address}:${server.port}`], inline: false }],
    relay: { clients: [client], routes: [{ to: "*", via: `${senders.address}:${senders.port}` }] },
    ...given,
  });
  t.after(async () => {
    await gateway.stop();
    await Promise.all([server.stop(), senders.stop()]);
  });
  return [gateway, senders];
}

async function send(gateway: Gateway, from: string, sender: string, recipient: string): Promise<void> {
  const session = await SmtpClient.connect(gateway.port, "127.0.0.1", from);
  await session.reply();
  for (const line of ["EHLO c.test", `MAIL FROM:<${sender}>`, `RCPT TO:<${recipient}>`, "DATA"])
    assert.match(await session.command(line), /^(?:250|354)/);
  session.write("Subject: x\r\n\r\nhello\r\n.\r\n");
  assert.match(await session.reply(), /^250 /);
  await session.command("QUIT");
  session.close();
}

test("with dsn.to: local the failure of a stranger's mail is dead, and a client's sender hears of his", async (t) => {
  const [gateway, senders] = await start(t, { dsn: { to: "local" } });
  await send(gateway, stranger, "victim@senders.test", "gone@prot.test");
  await send(gateway, client, "ann@senders.test", "gone@prot.test");
  await waitFor("the client's notification", () => senders.received.length > 0);
  await waitFor(
    "the stranger's mail to be dead",
    async () => (await gateway.queue("--status", "dead")).length > 0,
  );
  const dead = await gateway.queue();
  assert.deepEqual(
    dead.map(({ from, to, reason }) => [from, to, reason]),
    [
      [
        "victim@senders.test",
        ["gone@prot.test"],
        "its sender may not relay and is not notified: dsn.to is local",
      ],
    ],
  );
  assert.deepEqual(
    senders.received.flatMap(({ to }) => to.map(({ address }) => address)),
    ["ann@senders.test"],
  );
});

test("without a setting a stranger's sender hears of a failure and not of a delay, a client's of both", async (t) => {
  const [gateway, senders] = await start(t, { queue: { retry: ["1s"], delay_warning: "1s" } });
  await send(gateway, stranger, "late-stranger@senders.test", "later@prot.test");
  await send(gateway, client, "late-client@senders.test", "later@prot.test");
  await send(gateway, stranger, "failed-stranger@senders.test", "gone@prot.test");
  await waitFor("the notifications", () => senders.received.length >= 2);
  const withheld = await waitFor("the withheld warning", () =>
    gateway.log().find(({ event }) => event === "dsn.withheld"),
  );
  assert.deepEqual([withheld.kind, withheld.to], ["delayed", "late-stranger@senders.test"]);
  assert.deepEqual(senders.received.map(({ to }) => to[0]?.address).sort(), [
    "failed-stranger@senders.test",
    "late-client@senders.test",
  ]);
});
