/** `postern trace` on a whole gateway: mail that is delivered, deferred and bounced, its notification, and proxied mail. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { proxyV1 } from "../support/proxy-header.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let server: SmtpPeer;
let gateway: Gateway;
let proxyPort: number;
let submission: number;
let isFull = true;

before(async () => {
  // Not 127.0.0.1, which is the gateway's own address.
  server = await startSmtpPeer({
    address: "127.0.0.5",
    script: {
      rcpt(address) {
        if (address.startsWith("gone")) return "550 5.1.1 no such user";
        return address.startsWith("full") && isFull ? "452 4.2.2 mailbox full" : undefined;
      },
    },
  });
  proxyPort = await freePort();
  submission = await freePort();
  gateway = await startGateway({
    listeners: [
      { name: "submission", address: "127.0.0.1", port: submission, destination: "self" },
      {
        name: "transparent",
        address: "127.0.0.1",
        port: proxyPort,
        destination: "proxy",
        trusted_proxies: ["127.0.0.1"],
      },
    ],
    outgoing: { hide: false },
    relay: { routes: [{ to: "*", via: `127.0.0.5:${server.port}` }] },
    queue: { retry: ["1h"], delay_warning: 0 },
    dsn: { wave: 0 },
  });
});
after(async () => {
  await gateway?.stop();
  await server?.stop();
});

/** @returns the reply to the final dot */
async function send(client: SmtpClient, from: string, to: string[], messageId: string): Promise<string> {
  await client.reply();
  await client.command("EHLO pc.example.net");
  await client.command(`MAIL FROM:<${from}>`);
  for (const address of to) await client.command(`RCPT TO:<${address}>`);
  await client.command("DATA");
  const reply = await client.command(`Message-ID: ${messageId}\r\n\r\nHello.\r\n.`);
  await client.command("QUIT");
  return reply;
}

type Event = Record<string, unknown> & { at: string; event: string; id?: string };

/** The events of `postern trace --json`, as soon as they are as many. */
function traced(wanted: string, isComplete: (events: Event[]) => boolean): Promise<Event[]> {
  return waitFor(`the trace of ${wanted}`, async () => {
    const { code, stdout } = await gateway.postern("trace", wanted, "--json");
    const events = code === 0 ? (JSON.parse(stdout) as Event[]) : [];
    return isComplete(events) && events;
  });
}

test("a message to three recipients: delivered, bounced with its DSN's fate, and deferred until an operator retries", async () => {
  const client = await SmtpClient.connect(submission);
  const to = ["bob@example.com", "gone@example.com", "full@example.com"];
  const reply = await send(client, "alice@sender.example", to, "<order-1@sender.example>");
  const id = /[0-9A-Z]{18}/.exec(reply)?.[0] ?? assert.fail(reply);

  // The notification has been delivered.
  await traced(id, (events) => events.some((event) => event.event === "message.settled"));
  isFull = false;
  await gateway.postern("queue", "retry", id);
  const events = await traced("<order-1@sender.example>", (found) =>
    found.some((event) => event.event === "message.settled" && event.id === id),
  );

  const dsnId = String(events.find(({ event }) => event === "dsn.made")?.dsnId);
  const story = (of: string): unknown[] =>
    events
      .filter((event) => event.id === of)
      .map(({ event, to }) => (typeof to === "string" ? [event, to] : event));
  assert.deepEqual(story(id), [
    "message.accepted",
    "delivery.attempt",
    ...story(id).slice(2, 5),
    ["dsn.made", "alice@sender.example"],
    "delivery.attempt",
    ["delivery.delivered", "full@example.com"],
    "message.settled",
  ]);
  assert.deepEqual(
    new Set(story(id).slice(2, 5).map(String)),
    new Set([
      "delivery.delivered,bob@example.com",
      "delivery.rejected,gone@example.com",
      "delivery.deferred,full@example.com",
    ]),
  );
  assert.deepEqual(story(dsnId), [
    "delivery.attempt",
    ["delivery.delivered", "alice@sender.example"],
    "message.settled",
  ]);
  const [first] = events;
  assert.deepEqual(
    [first?.event, first?.handler, first?.listener],
    ["session.classified", "queue", "submission"],
  );
  const retried = events.find(({ event }) => event === "message.retried");
  assert.deepEqual([retried?.by, retried?.ids], ["admin", [id]]);
  const times = events.map(({ at }) => at);
  assert.deepEqual(times, [...times].sort());
  const rejected = events.find(({ event }) => event === "delivery.rejected");
  assert.equal(rejected?.reply, "550 5.1.1 no such user");
  assert.equal(rejected?.remote, `[127.0.0.5]:${server.port}`);
  assert.deepEqual(rejected?.tls, { policy: "may" });
  assert.ok(typeof rejected?.ms === "number");

  // The log says the same.
  const lines = gateway.log().map(({ event, id: of, to, attempt }) => `${event} ${of} ${to} ${attempt}`);
  for (const { event, id: of, to, attempt } of events.filter((each) => each.id === id || each.id === dsnId))
    assert.ok(lines.includes(`${event} ${of} ${to} ${attempt}`), `${event} ${of} ${to} ${attempt}`);
});

test("for people it is one section of 80 columns, by each of the addresses", async () => {
  for (const address of ["alice@sender.example", "Gone@Example.com"]) {
    const { code, stdout } = await gateway.postern("trace", address);
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split("\n");
    for (const line of lines) assert.ok(line.length <= 80, line);
    assert.match(stdout, /^ {2}State: {6}2 delivered, 1 rejected$/m);
    assert.match(stdout, /^ {2}\S+ {2}DSN made {4}\S{18} \(failed\) to alice@sender\.example,/m);
    assert.equal(lines.filter((line) => /^\S/.test(line)).length, 1);
  }
});

test("mail that the outgoing proxy passed is found by its addresses, with the server's final reply", async () => {
  const client = await SmtpClient.connect(proxyPort);
  client.write(proxyV1({ address: "127.0.0.9", port: 4711 }, { address: "127.0.0.5", port: server.port }));
  await send(client, "carol@branch.example", ["dave@far.example", "gone@far.example"], "<p@x>");
  const events = await traced("dave@far.example", (found) =>
    found.some(({ event }) => event === "proxy.transaction"),
  );
  assert.deepEqual(
    events.map(({ event }) => event),
    ["session.classified", "proxy.transaction"],
  );
  const [classified, transaction] = events;
  assert.deepEqual([classified?.row, classified?.handler], ["client-server", "outgoing-proxy"]);
  assert.deepEqual([transaction?.result, transaction?.reply], ["accepted", "250 2.0.0 queued"]);
  assert.equal(transaction?.id, transaction?.session);
  const { stdout } = await gateway.postern("trace", "gone@far.example");
  assert.match(stdout, /proxied {5}127\.0\.0\.9 to 127\.0\.0\.5:\d+: accepted/);
});

test("nothing found: one line, exit 1; wrong use: exit 2", async () => {
  const unknown = await gateway.postern("trace", "nobody@nowhere.example");
  assert.deepEqual(unknown, {
    code: 1,
    stdout: "",
    stderr: "postern: nothing is known of nobody@nowhere.example\n",
  });
  assert.equal((await gateway.postern("trace", "nobody@nowhere.example", "--json")).code, 1);
  assert.equal((await gateway.postern("trace")).code, 2);
  assert.equal((await gateway.postern("trace", "x", "--limit", "0")).code, 2);
});
