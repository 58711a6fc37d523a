/** The gateway as a user runs it, with swaks as the client and smtp-sink or a scripted server behind the MX. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type DnsZone, startDnsZone } from "../support/dns-zone.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { run, startSmtpSink, unlessInstalled, unlessRoot } from "../support/programs.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessRoot() || unlessInstalled("redis-server", "swaks", "smtp-sink");

/** Each destination is a loopback address of its own, at port 25, where MX deliveries go. */
const sinkAddress = "127.0.25.1";
const peerAddress = "127.0.25.2";
const senderAddress = "127.0.25.3";

describe("mail sent to the gateway", { skip }, () => {
  let zone: DnsZone;
  let gateway: Gateway;
  /** The server of the senders' domain: DSNs arrive here. */
  let senders: SmtpPeer;

  before(async () => {
    zone = await startDnsZone({
      "sink.example": { MX: [[10, "mx.sink.example"]] },
      "mx.sink.example": { A: [sinkAddress] },
      "peer.example": { MX: [[10, "mx.peer.example"]] },
      "mx.peer.example": { A: [peerAddress] },
      "sender.example": { MX: [[10, "mx.sender.example"]] },
      "mx.sender.example": { A: [senderAddress] },
      "nomail.example": { MX: [[0, ""]] },
    });
    senders = await startSmtpPeer({ address: senderAddress, port: 25 });
    gateway = await startGateway({ dns: { servers: [zone.server] } });
  });
  after(async () => {
    await gateway?.stop();
    await senders?.stop();
    await zone?.stop();
  });

  const swaks = (to: string, ...extra: string[]) =>
    run("swaks", [
      "--server",
      "127.0.0.1",
      "--port",
      String(gateway.port),
      "--from",
      "anna@sender.example",
      "--to",
      to,
      ...extra,
    ]);
  const dsnAbout = (text: string) =>
    waitFor(`a DSN about ${text}`, () =>
      senders.received.map(({ data }) => data.toString("utf8")).find((data) => data.includes(text)),
    );

  test("arrives at the MX of the recipient's domain, its header fields intact", async (t) => {
    const sink = await startSmtpSink(`${sinkAddress}:25`);
    t.after(() => sink.stop());
    const sent = await swaks(
      "bert@sink.example",
      "--header",
      "X-Odd:  kept   as it was",
      "--body",
      ".a line with a dot",
    );
    assert.equal(sent.code, 0, sent.output);
    await waitFor("the message to arrive", () => sink.messages() === 1);
    const [content] = sink.contents();
    assert.match(content ?? "", /^X-Odd: {2}kept {3}as it was$/m);
    assert.match(content ?? "", /^\.a line with a dot$/m);
    assert.match(content ?? "", /^Received: from \S+ \(.*\[127\.0\.0\.1\]\)\s+by gw\.example\.net/m);
    assert.match(content ?? "", /^X-Mail-Args: <anna@sender\.example>/m);
  });

  test("is tried again after 450, and arrives", async (t) => {
    let refusals = 0;
    const peer = await startSmtpPeer({
      address: peerAddress,
      port: 25,
      script: { rcpt: () => (refusals++ < 2 ? "450 4.2.1 not now" : undefined) },
    });
    t.after(() => peer.stop());
    assert.equal((await swaks("later@peer.example")).code, 0);
    await waitFor("the third attempt", () => peer.received.length === 1);
    assert.equal(refusals, 3);
  });

  test("for two recipients, one of them refused, reaches the other, and one DSN names the first", async (t) => {
    const peer = await startSmtpPeer({
      address: peerAddress,
      port: 25,
      script: { rcpt: (address) => (address.startsWith("gone") ? "550 5.1.1 no such user here" : undefined) },
    });
    t.after(() => peer.stop());
    assert.equal((await swaks("gone@peer.example,here@peer.example")).code, 0);
    const dsn = await dsnAbout("gone@peer.example");
    assert.deepEqual(
      peer.received.map(({ to }) => to.map(({ address }) => address)),
      [["here@peer.example"]],
    );
    assert.match(dsn, /^Status: 5\.1\.1$/m);
    assert.match(dsn, /^Diagnostic-Code: smtp; 550 5\.1\.1 no such user here$/m);
    assert.doesNotMatch(dsn, /^Final-Recipient: rfc822; ?here@/m);
    assert.equal(senders.received.filter(({ data }) => data.includes("gone@peer.example")).length, 1);
  });

  test("waits, visible in the queue, while the server is down, and arrives when it is back", async (t) => {
    assert.equal((await swaks("patient@sink.example")).code, 0);
    const row = await waitFor("the deferred message in the queue", async () =>
      (await gateway.queue("--to", "*@sink.example")).find(({ status }) => status === "deferred"),
    );
    assert.deepEqual(row.to, ["patient@sink.example"]);
    assert.match(String(row.reason), /refused/i);
    const sink = await startSmtpSink(`${sinkAddress}:25`);
    t.after(() => sink.stop());
    await waitFor("the message to arrive", () => sink.messages() === 1);
    await waitFor("the queue to be empty", async () => (await gateway.queue()).length === 0);
  });

  test("to a domain with a null MX comes back at once with 5.1.10", async () => {
    assert.equal((await swaks("nobody@nomail.example")).code, 0);
    const dsn = await dsnAbout("nobody@nomail.example");
    assert.match(dsn, /^Status: 5\.1\.10$/m);
    assert.match(dsn, /^Action: failed$/m);
  });

  test("leaves a story in the log that one id tells", async (t) => {
    const sink = await startSmtpSink(`${sinkAddress}:25`);
    t.after(() => sink.stop());
    const sent = await swaks("story@sink.example");
    const id = /queued as (\w+)/.exec(sent.output)?.[1];
    assert.ok(id, sent.output);
    const events = await waitFor("the message to be settled", () => {
      // Each service writes its lines a few milliseconds late.
      const story = gateway
        .log()
        .filter((record) => record.id === id)
        .sort((a, b) => `${a.time}`.localeCompare(`${b.time}`))
        .map(({ event }) => event);
      return story.includes("message.accepted") && story.includes("message.settled") && story;
    });
    assert.deepEqual(
      events.filter((event) => event !== "delivery.attempt"),
      ["message.accepted", "delivery.delivered", "message.settled"],
    );
  });
});
