import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import type { MessageMeta } from "../../shared/mail/message.ts";
import { type Body, SpoolCorrupt } from "../../shared/spool/spool.ts";
import {
  attempt,
  outcomes,
  receivedField,
  servers,
  summary,
  testMessage,
  testTransport,
  via,
} from "../support/smtp-client-fixture.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";

async function deliver(
  message: { meta: MessageMeta; body: Body },
  hide = false,
): Promise<{ peer: SmtpPeer; brief: string[] }> {
  const peer = await startSmtpPeer();
  const transport = testTransport();
  try {
    const hop = { ...servers(peer), hide };
    const brief = (await outcomes(transport, hop, message)).map(summary);
    return { peer, brief };
  } finally {
    await transport.close(1000);
    await peer.stop();
  }
}

/** The body as a stream in pieces of any size, as large ones come from the spool. */
function asFile(message: { meta: MessageMeta; body: Body }, cuts: number): { meta: MessageMeta; body: Body } {
  assert.ok(message.body.kind === "buffer");
  const { bytes } = message.body;
  const step = Math.max(1, Math.ceil(bytes.length / cuts));
  const pieces = () =>
    Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) =>
      bytes.subarray(i * step, (i + 1) * step),
    );
  return {
    meta: message.meta,
    body: { kind: "file", size: bytes.length, open: () => Readable.from(pieces()) },
  };
}

const contents: [string, string, string?][] = [
  ["plain lines", "Subject: x\r\n\r\nHello.\r\n"],
  ["lines that begin with dots", ".first\r\n\r\n.\r\n..\r\n.x\r\n"],
  ["a message without a final line end", "Subject: x\r\n\r\nno end", "Subject: x\r\n\r\nno end\r\n"],
  ["an empty message", "", ""],
  ["what looks like the end of data and a command", "a\r\n\r\n.\r\nMAIL FROM:<x@y>\r\n"],
];

for (const [name, content, arrives = content] of contents) {
  test(`${name}: the message arrives octet for octet behind our Received field`, async () => {
    const message = testMessage({ content });
    for (const variant of [message, asFile(message, 1), asFile(message, 1000)]) {
      const { peer, brief } = await deliver(variant);
      assert.deepEqual(brief, ["delivered"]);
      assert.equal(peer.received[0]?.data.toString("latin1"), receivedField + arrives);
    }
  });
}

test("a large message arrives octet for octet, from memory and from a file", async () => {
  const line = Buffer.from(`.${"x".repeat(70)}\r\n`);
  const content = Buffer.concat(Array.from({ length: 40_000 }, () => line));
  const message = testMessage({ content });
  for (const variant of [message, asFile(message, 50)]) {
    const { peer } = await deliver(variant);
    const [received] = peer.received;
    assert.ok(received?.data.subarray(receivedField.length).equals(content));
  }
});

test("SIZE says what is sent: the message with our Received field (RFC 1870 §5)", async () => {
  const content = "Subject: x\r\n\r\n12345\r\n";
  const { peer } = await deliver(testMessage({ content }));
  assert.ok(peer.received[0]?.mailParameters.includes(`SIZE=${receivedField.length + content.length}`));
});

test("a hidden delivery has no Received field and the client's HELO name", async () => {
  const content = "Subject: x\r\n\r\nHello.\r\n";
  const { peer } = await deliver(testMessage({ content, helo: "client.example" }), true);
  assert.equal(peer.received[0]?.data.toString(), content);
  assert.equal(peer.received[0]?.helo, "client.example");
  const shown = await deliver(testMessage({ content, helo: "client.example" }));
  assert.equal(shown.peer.received[0]?.helo, "gw.example.net");
});

test("a client's HELO name that would break our command is not used", async () => {
  const { peer } = await deliver(testMessage({ helo: "bad\r\nQUIT" }), true);
  assert.equal(peer.received[0]?.helo, "gw.example.net");
});

test("a body that is shorter than it should be never ends with the dot", async () => {
  const { meta, body } = testMessage({ content: "Subject: x\r\n\r\nHello, this is whole.\r\n" });
  assert.ok(body.kind === "buffer");
  const bytes = body.bytes.subarray(0, 20);
  const damaged: Body[] = [
    { kind: "buffer", bytes },
    { kind: "file", size: 20, open: () => Readable.from([bytes]) },
    { kind: "file", size: meta.size, open: () => Readable.from([bytes]) },
    {
      kind: "file",
      size: meta.size,
      open: () =>
        Readable.from(
          (function* () {
            yield bytes;
            throw new Error("EIO");
          })(),
        ),
    },
  ];
  for (const short of damaged) {
    const { peer, brief } = await deliver({ meta, body: short });
    assert.deepEqual(brief, ["deferred 4.3.0 local"]);
    assert.equal(peer.received.length, 0);
  }
});

test("a body that is found to be corrupt makes the attempt throw", async () => {
  const { meta } = testMessage();
  const open = () =>
    new Readable({
      read() {
        this.destroy(new SpoolCorrupt("checksum"));
      },
    });
  const peer = await startSmtpPeer();
  const transport = testTransport();
  await assert.rejects(
    attempt(transport, via(peer), { meta, body: { kind: "file", size: meta.size, open } }),
    SpoolCorrupt,
  );
  assert.equal(peer.received.length, 0);
  await transport.close(1000);
  await peer.stop();
});
