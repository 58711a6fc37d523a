import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type MessageGiven,
  outcomes,
  servers,
  summary,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, startSmtpPeer, usualExtensions } from "../support/smtp-peer.ts";

const without = (...keywords: string[]) => usualExtensions.filter((keyword) => !keywords.includes(keyword));

async function deliver(
  extensions: string[],
  given: MessageGiven,
): Promise<{ peer: SmtpPeer; brief: string[] }> {
  const peer = await startSmtpPeer({ extensions });
  const transport = testTransport();
  try {
    const found = await outcomes(transport, via(peer), testMessage(given));
    return { peer, brief: found.map(summary) };
  } finally {
    await transport.close(1000);
    await peer.stop();
  }
}

const utf8Header = { smtputf8: true, content: "Subject: Grüße\r\n\r\nHello.\r\n" };

test("SMTPUTF8 that is needed and not offered is 5.6.7 (RFC 6531 §3.5)", async () => {
  const extensions = without("SMTPUTF8");
  for (const given of [
    utf8Header,
    { to: ["jörg@example.org"], smtputf8: true },
    { reversePath: "jörg@example.com", smtputf8: true },
  ]) {
    const { peer, brief } = await deliver(extensions, given);
    assert.deepEqual(brief, ["rejected 5.6.7 5xx"]);
    assert.ok(!peer.commands.some((command) => command.includes("MAIL")), "nothing was sent");
  }
});

test("SMTPUTF8 that the client said and the message does not need excludes no server (RFC 6531 §3.4)", async () => {
  const { peer, brief } = await deliver(without("SMTPUTF8"), { smtputf8: true });
  assert.deepEqual(brief, ["delivered"]);
  assert.ok(!peer.received[0]?.mailParameters.includes("SMTPUTF8"));
});

test("SMTPUTF8 goes to a server that offers it, with addresses in UTF-8", async () => {
  const { peer, brief } = await deliver(usualExtensions, { ...utf8Header, to: ["jörg@example.org"] });
  assert.deepEqual(brief, ["delivered"]);
  assert.ok(peer.received[0]?.mailParameters.includes("SMTPUTF8"));
  assert.equal(peer.received[0]?.to[0]?.address, "jörg@example.org");
});

test("one internationalised recipient does not keep the mail from the others", async () => {
  const { peer, brief } = await deliver(without("SMTPUTF8"), {
    smtputf8: true,
    to: ["jörg@x.test", "ann@x.test"],
  });
  assert.deepEqual(brief, ["rejected 5.6.7 5xx", "delivered"]);
  assert.deepEqual(
    peer.received[0]?.to.map(({ address }) => address),
    ["ann@x.test"],
  );
});

test("8-bit content that the client declared is announced where 8BITMIME is offered, and 5.6.3 where it is not (RFC 6152 §3)", async () => {
  const given = { body: "8BITMIME", content: "Subject: x\r\n\r\nGrüße\r\n" } as const;
  const offered = await deliver(without("SMTPUTF8"), given);
  assert.deepEqual(offered.brief, ["delivered"]);
  assert.ok(offered.peer.received[0]?.mailParameters.includes("BODY=8BITMIME"));
  assert.deepEqual((await deliver(without("SMTPUTF8", "8BITMIME"), given)).brief, ["rejected 5.6.3 5xx"]);
  const ascii = { body: "8BITMIME", content: "Subject: x\r\n\r\nHello\r\n" } as const;
  assert.deepEqual((await deliver(without("SMTPUTF8", "8BITMIME"), ascii)).brief, ["delivered"]);
});

test("8-bit content that no client declared is labelled where 8BITMIME is offered, and sent as it came where it is not", async () => {
  for (const said of [{}, { body: "7BIT" as const }]) {
    const given = { ...said, content: "Subject: x\r\n\r\nGrüße\r\n" };
    const offered = await deliver(without("SMTPUTF8"), given);
    assert.ok(offered.peer.received[0]?.mailParameters.includes("BODY=8BITMIME"));
    const { peer, brief } = await deliver(without("SMTPUTF8", "8BITMIME"), given);
    assert.deepEqual(brief, ["delivered"]);
    assert.ok(!peer.received[0]?.mailParameters.some((parameter) => parameter.startsWith("BODY")));
    assert.ok(peer.received[0]?.data.toString().endsWith("\r\n\r\nGrüße\r\n"), "octet for octet");
  }
});

test("a message that is too large for the server's SIZE is 5.3.4 without being sent (RFC 1870 §6.1)", async () => {
  const { peer, brief } = await deliver(["SIZE 1000"], {
    content: `Subject: x\r\n\r\n${"x\r\n".repeat(500)}`,
  });
  assert.deepEqual(brief, ["rejected 5.3.4 5xx"]);
  assert.ok(!peer.commands.some((command) => command.includes("MAIL")));
});

test("a host that lacks an extension leaves the mail to one that offers it", async () => {
  const poor = await startSmtpPeer({ extensions: [] });
  const rich = await startSmtpPeer();
  const transport = testTransport();
  const found = await outcomes(transport, servers(poor, rich), testMessage(utf8Header));
  assert.deepEqual(found.map(summary), ["delivered"]);
  assert.equal(rich.received.length, 1);
  await transport.close(1000);
  await Promise.all([poor.stop(), rich.stop()]);
});

test("a server that refuses EHLO gets HELO and no parameters (RFC 5321 §3.2)", async () => {
  const peer = await startSmtpPeer({ script: { ehlo: () => "500 5.5.2 what?" } });
  const transport = testTransport();
  const message = testMessage({ ret: "FULL", to: [{ address: "b@x.test", notify: ["SUCCESS"] }] });
  const found = await outcomes(transport, via(peer), message);
  assert.deepEqual(found.map(summary), ["delivered"]);
  assert.deepEqual(peer.commands.slice(0, 3), [
    "1: EHLO gw.example.net",
    "1: HELO gw.example.net",
    "1: MAIL FROM:<alice@example.com>",
  ]);
  await transport.close(1000);
  await peer.stop();
});

test("without PIPELINING every command waits for its reply (RFC 2920 §3.1)", async () => {
  // A RCPT that was sent too early would be in the peer's buffer while MAIL is still unanswered.
  const seen: string[] = [];
  const peer = await startSmtpPeer({
    extensions: without("PIPELINING"),
    script: {
      mail: async () => {
        await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
        seen.push(...peer.commands);
        return undefined;
      },
    },
  });
  const transport = testTransport();
  assert.deepEqual((await outcomes(transport, via(peer))).map(summary), ["delivered"]);
  assert.equal(seen.at(-1), "1: MAIL FROM:<alice@example.com> SIZE=139");
  assert.equal(peer.mostUnread, 0, "nothing waited unread behind a command");
  await transport.close(1000);
  await peer.stop();
});
