import assert from "node:assert/strict";
import { test } from "node:test";
import { Wire } from "./wire.ts";

function opened(): Wire {
  const wire = new Wire().server("220 far.test").client("EHLO a").server("250 far.test");
  wire.atServer();
  wire.atClient();
  return wire;
}

test("a pipelined transaction with refused recipients", () => {
  const wire = opened().client("MAIL FROM:<a@b> SIZE=9\nRCPT TO:<c@d>\nRCPT TO:<e@f>\nDATA");
  wire.server("250 ok\n250 ok\n550 5.1.1 no such user\n354 go on").client("Subject: x\n\nhi\n..\n.");
  assert.deepEqual(wire.transactions, []);
  assert.equal(wire.dialogue.isIdle, false);
  wire.server("250 2.0.0 queued as 1");
  assert.deepEqual(wire.transactions, [
    {
      reversePath: "a@b",
      accepted: { count: 1, addresses: ["c@d"] },
      refused: { count: 1, recipients: [{ address: "e@f", reply: "550 5.1.1 no such user" }] },
      octets: "Subject: x\r\n\r\nhi\r\n..\r\n".length,
      result: "accepted",
      reply: "250 2.0.0 queued as 1",
    },
  ]);
  assert.ok(wire.dialogue.isIdle);
});

test("a message of nothing is a dot at once", () => {
  const wire = opened()
    .client("MAIL FROM:<>\nRCPT TO:<c@d>\nDATA")
    .server("250 a\n250 b\n354 c")
    .client(".")
    .server("250 d");
  assert.deepEqual([wire.transactions[0]?.octets, wire.transactions[0]?.reversePath], [0, ""]);
});

test("data that come before 354 wait for it; when DATA is refused they are commands", () => {
  const wire = opened().client("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nRSET\nNOOP");
  assert.equal(wire.atServer(), "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA");
  wire.server("250 a\n250 b\n451 4.3.0 not now");
  assert.equal(wire.atServer(), "RSET\nNOOP");
  wire.server("250 reset");
  assert.deepEqual(
    wire.transactions.map(({ result, reply }) => [result, reply]),
    [["refused", "451 4.3.0 not now"]],
  );
});

test("chunks are framed by their count, whatever is in them", () => {
  const wire = opened().client("MAIL FROM:<a@b> BODY=BINARYMIME\nRCPT TO:<c@d>").server("250 a\n250 b");
  wire.client(Buffer.from("BDAT 12\r\n\r\n.\r\nQUIT\r\n\0BDAT 3 LAST\r\n\xff\0\nNOOP\r\n", "latin1"));
  assert.equal(wire.transactions.length, 0);
  wire.server("250 12 octets\n250 queued");
  assert.deepEqual([wire.transactions[0]?.octets, wire.transactions[0]?.result], [15, "accepted"]);
  wire.server("250 noop");
  assert.ok(wire.dialogue.isIdle);
});

test("AUTH of any mechanism and any number of lines is passed, and its lines are no commands", () => {
  const wire = opened().client("AUTH X-UNHEARD-OF");
  for (const line of ["DATA", "QUIT", "*", "=", "x".repeat(12_000)]) {
    wire.server("334 Y2hhbGxlbmdl").client(line);
    assert.equal(wire.dialogue.isClosing, false);
  }
  wire.server("235 welcome").client("NOOP").server("250 ok");
  assert.ok(wire.dialogue.isIdle);
});

test("a security layer that AUTH negotiated is opaque", () => {
  const wire = opened()
    .client("AUTH GSSAPI")
    .server("235 welcome")
    .client(Buffer.from([0, 0, 0, 4, 1, 10, 3, 4]));
  assert.equal(wire.opaque, "sasl-layer");
});

test("after TURN and after an unknown command, the reply decides what follows", () => {
  assert.equal(opened().client("ATRN a.test").server("250 now the other way round").opaque, "turn");
  const blob = opened().client("XEXCH50 8 2\nx\ny");
  assert.equal(blob.atServer(), "XEXCH50 8 2");
  blob.server("354 send it");
  assert.equal(blob.opaque, "unknown-command");
  assert.equal(blob.atServer(), "x\ny");
  const unknown = opened().client("XYZZY\nNOOP").server("500 what?");
  assert.equal(unknown.atServer(), "XYZZY\nNOOP");
  assert.equal(unknown.opaque, undefined);
});

test("a server that replies in the middle of the data, and reads on", () => {
  const wire = opened().client("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA").server("250 a\n250 b\n354 c");
  wire.client("one").server("552 5.3.4 too large").client("two\n.\nNOOP").server("250 noop");
  assert.deepEqual(
    wire.transactions.map(({ result, reply }) => [result, reply]),
    [["refused", "552 5.3.4 too large"]],
  );
  assert.ok(wire.dialogue.isIdle);
});

test("how a transaction without a message ended", () => {
  const result = (talk: (wire: Wire) => void) => {
    const wire = opened();
    talk(wire);
    return wire.transactions.map(({ result, reply }) => [result, reply]);
  };
  const begun = (wire: Wire) => wire.client("MAIL FROM:<a@b>\nRCPT TO:<c@d>").server("250 a\n250 b");
  assert.deepEqual(
    result((wire) => begun(wire).client("RSET").server("250 ok")),
    [["abandoned", undefined]],
  );
  assert.deepEqual(
    result((wire) => begun(wire).client("QUIT").server("221 bye")),
    [["abandoned", undefined]],
  );
  assert.deepEqual(
    result((wire) => begun(wire).client("EHLO a").server("250 b")),
    [["abandoned", undefined]],
  );
  assert.deepEqual(
    result((wire) => begun(wire).dialogue.ended()),
    [["lost", undefined]],
  );
  assert.deepEqual(
    result((wire) => wire.client("MAIL FROM:<a@b>").server("550 5.7.1 no")),
    [["refused", "550 5.7.1 no"]],
  );
  assert.deepEqual(
    result((wire) =>
      wire.client("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nRSET").server("250 a\n550 5.1.1 no\n250 ok"),
    ),
    [["refused", "550 5.1.1 no"]],
  );
  assert.deepEqual(
    result((wire) => wire.client("MAIL FROM:<a@b>").dialogue.ended()),
    [],
  );
});

test("a connection that ends in a message loses it, and what had passed is counted", () => {
  const wire = opened()
    .client("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA")
    .server("250 a\n250 b\n354 c")
    .client("12345678");
  wire.dialogue.ended();
  assert.deepEqual(
    wire.transactions.map(({ result, octets }) => [result, octets]),
    [["lost", 10]],
  );
  const chunk = opened().client("MAIL FROM:<a@b>\nRCPT TO:<c@d>").server("250 a\n250 b");
  chunk.client(Buffer.from("BDAT 100\r\n1234"));
  chunk.dialogue.ended();
  assert.deepEqual(
    chunk.transactions.map(({ result, octets }) => [result, octets]),
    [["lost", 4]],
  );
});

test("a log line names so many recipients and counts them all", () => {
  const wire = opened().client("MAIL FROM:<a@b>").server("250 ok");
  for (let i = 0; i < 120; i++) wire.client(`RCPT TO:<r${i}@d>`).server(i % 2 === 0 ? "250 ok" : "550 no");
  wire.client("RSET").server("250 ok");
  const [transaction] = wire.transactions;
  assert.deepEqual([transaction?.accepted.count, transaction?.refused.count], [60, 60]);
  assert.deepEqual(
    [transaction?.accepted.addresses.length, transaction?.refused.recipients.length],
    [50, 50],
  );
});

test("a client that never waits is not read beyond a thousand commands without a reply", () => {
  const wire = opened().client("NOOP\n".repeat(5000).slice(0, -1));
  assert.ok(wire.dialogue.isHolding);
  assert.equal(wire.atServer().split("\n").length, 1000);
  wire.server("250 ok\n".repeat(700).slice(0, -1));
  assert.ok(wire.atServer().split("\n").length >= 500);
});

test("bare line ends, NUL and octets above 127 pass as they came", () => {
  const wire = opened();
  wire.client(Buffer.from("NOOP \0\xff\nNOOP\n\n", "latin1"));
  assert.equal(wire.atServer(), "NOOP \0\xff\nNOOP\n");
  wire.server(Buffer.from("250 \0\xff\n250 x\n", "latin1"));
  assert.equal(wire.atClient(), "250 \0\xff\n250 x");
});

test("an unexpected reply passes and answers nothing", () => {
  const wire = opened().server("421 4.4.2 too slow");
  assert.equal(wire.atClient(), "421 4.4.2 too slow");
  assert.ok(wire.dialogue.isClosing);
});

test("a reply of ours fits between replies only", () => {
  const wire = opened();
  assert.ok(wire.dialogue.maySpeak);
  wire.server(Buffer.from("250-half"));
  assert.equal(wire.dialogue.maySpeak, false);
  wire.server(Buffer.from("\r\n250 whole\r\n"));
  assert.ok(wire.dialogue.maySpeak);
});
