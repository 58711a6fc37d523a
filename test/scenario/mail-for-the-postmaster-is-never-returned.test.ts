import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startQueuedSessions } from "../support/queued-sessions.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let gateway: Gateway;
let postmasters: SmtpPeer;
let victims: SmtpPeer;

before(async () => {
  postmasters = await startSmtpPeer({
    script: { rcpt: (address) => (address.startsWith("gone@") ? "550 5.1.1 no such user" : undefined) },
  });
  victims = await startSmtpPeer({});
  gateway = await startGateway({
    postmaster: "gone@postmaster.test",
    relay: {
      // Whoever writes here is a stranger.
      clients: ["192.0.2.1"],
      routes: [
        { to: "*@postmaster.test", via: `${postmasters.address}:${postmasters.port}` },
        { to: "*", via: `${victims.address}:${victims.port}` },
      ],
    },
  });
});
after(async () => {
  await gateway?.stop();
  await Promise.all([postmasters.stop(), victims.stop()]);
});

async function send(from: string, to: string): Promise<string> {
  const client = await SmtpClient.connect(gateway.port);
  await client.reply();
  await client.command("EHLO stranger.test");
  await client.command(`MAIL FROM:<${from}>`);
  assert.match(await client.command(`RCPT TO:${to}`), /^250 /);
  await client.command("DATA");
  client.write("Subject: BUY\r\n\r\nhello\r\n.\r\n");
  const reply = await client.reply();
  await client.command("QUIT");
  client.close();
  return /queued as (\S+)/.exec(reply)?.[1] ?? reply;
}

test("a failure of mail for the postmaster is kept for the operators, and nobody gets a notification", async () => {
  const ids = [
    await send("victim@victim.test", "<postmaster> NOTIFY=SUCCESS,FAILURE,DELAY"),
    await send("victim@victim.test", "<PostMaster@gw.example.net>"),
    await send("", "<postmaster>"),
  ];
  await waitFor("the mail to be dead", async () => (await gateway.queue("--status", "dead")).length === 3);
  const dead = await gateway.queue("--status", "dead");
  assert.deepEqual(dead.map(({ messageId: _, id }) => `${id}`.replace(/-\d+$/, "")).sort(), [...ids].sort());
  for (const row of dead) {
    assert.deepEqual(row.to, ["gone@postmaster.test"]);
    assert.match(`${row.reason}`, /no such user/);
  }
  assert.equal(gateway.log().filter(({ event }) => event === "dsn.made").length, 0);
  assert.equal(victims.received.length, 0);
});

test("an operator who has mended the mailbox puts the mail back", async () => {
  const before = (await gateway.queue("--status", "dead")).length;
  const id = await send("victim@victim.test", "<postmaster>");
  await waitFor("it to be dead", async () => (await gateway.queue("--status", "dead")).length > before);
  const { code, stdout, stderr } = await gateway.postern("queue", "put-back", id);
  assert.equal(code, 0, stdout + stderr);
});

test("the postmaster's mail goes through the queue to the mailbox that is named, once for each message", async (t) => {
  const sessions = await startQueuedSessions({
    config: { postmaster: "boss@elsewhere.example" },
    client: "198.51.100.7",
  });
  t.after(() => sessions.close());
  const client = await sessions.connect();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<me@example.org>");
  for (const recipient of ["<postmaster>", "<POSTMASTER>", '<"postmaster"@gw.example.net> NOTIFY=SUCCESS'])
    assert.match(await client.command(`RCPT TO:${recipient}`), /^250 2\.1\.5 /, recipient);
  await client.command("DATA");
  client.write("Subject: hi\r\n\r\nhi\r\n.\r\n");
  assert.match(await client.reply(), /^250 2\.0\.0 Ok: queued as /);
  assert.deepEqual(sessions.accepted[0]?.meta.envelope.recipients, [
    { address: "boss@elsewhere.example", notify: [], isPostmaster: true },
  ]);
});

test("without a postmaster in the configuration <postmaster> is refused at RCPT", async (t) => {
  const sessions = await startQueuedSessions({ client: "198.51.100.7" });
  t.after(() => sessions.close());
  const client = await sessions.connect();
  await client.command("EHLO client.example");
  await client.command("MAIL FROM:<me@example.org>");
  assert.equal(await client.command("RCPT TO:<postmaster>"), "550 5.1.1 This gateway has no postmaster");
});
