import assert from "node:assert/strict";
import { test } from "node:test";
import { ClientFraming, type OpaqueReason } from "../../../../services/ingress/outgoing/client-framing.ts";
import { ExpectedReplies } from "../../../../services/ingress/outgoing/expected-replies.ts";
import { replies } from "../../../../services/ingress/outgoing/proxy-replies.ts";
import { parseCommandLine } from "../../../../shared/smtp/command-line.ts";
import type { WholeReply } from "../../../../shared/smtp/reply-reader.ts";

function reply(code: number): WholeReply {
  return { code, octets: Buffer.from(`${code} x\r\n`), isCut: false };
}

/** A framing behind the greeting; commands and replies follow each other. */
function framing() {
  const expected = new ExpectedReplies();
  const framing = new ClientFraming(expected);
  const command = (line: string, refusal?: WholeReply) =>
    framing.readCommand(parseCommandLine(Buffer.from(line)), true, refusal);
  const answer = (code: number): OpaqueReason | undefined => {
    const answered = expected.removeServers();
    assert.ok(answered !== undefined, "the server was asked something");
    return framing.readReply(answered, reply(code));
  };
  answer(220);
  return { expected, framing, command, answer };
}

/** @returns where each piece stops */
function readPieces(framing: ClientFraming, octets: Buffer, cutAt: number): number {
  const stop = framing.readContent(octets.subarray(0, cutAt), 0);
  if (framing.phase === "command") return stop;
  assert.equal(stop, cutAt);
  return cutAt + framing.readContent(octets.subarray(cutAt), 0);
}

test("message data begin with 354 and end behind the final dot, wherever the octets are cut", () => {
  const message = "Subject: x\r\n\r\n..\r\n.\n.\r\n";
  const data = Buffer.from(`${message}.\r\nMAIL FROM:<>\r\n`);
  for (let cutAt = 1; cutAt < data.length; cutAt++) {
    const { framing: client, command, answer, expected } = framing();
    command("DATA\r\n");
    assert.equal(client.phase, "awaiting-reply");
    answer(354);
    assert.equal(client.phase, "message");
    assert.equal(readPieces(client, data, cutAt), message.length + 3, `cut at ${cutAt}`);
    assert.equal(client.phase, "command");
    assert.equal(client.unansweredOctets, message.length, `cut at ${cutAt}`);
    assert.deepEqual(expected.next, { kind: "message", octets: message.length });
    answer(250);
    assert.equal(client.unansweredOctets, 0);
  }
});

test("a second message of nothing ends with its dot at once", () => {
  const { framing: client, command, answer } = framing();
  for (const data of ["x\r\n.\r\n", ".\r\n"]) {
    command("DATA\r\n");
    answer(354);
    assert.equal(client.readContent(Buffer.from(data), 0), data.length);
    assert.equal(client.phase, "command");
    answer(250);
  }
});

test("a DATA that the server refuses is followed by the next command", () => {
  const { framing: client, command, answer } = framing();
  command("DATA\r\n");
  answer(503);
  assert.equal(client.phase, "command");
});

test("a BDAT chunk has the length that its command gives, also where the command is refused (RFC 3030 §2)", () => {
  for (const refusal of [undefined, replies.chunkingNotOffered]) {
    for (let cutAt = 1; cutAt < 8; cutAt++) {
      const { framing: client, command } = framing();
      command("BDAT 5\r\n", refusal);
      assert.equal(client.phase, "chunk");
      assert.equal(client.isForServer, refusal === undefined);
      assert.equal(readPieces(client, Buffer.from("12345678"), cutAt), 5, `cut at ${cutAt}`);
      assert.equal(client.phase, "command");
    }
  }
});

test("of a chunk that the server has only in part, that part is without its reply", () => {
  const { framing: client, command } = framing();
  command("BDAT 10 LAST\r\n");
  client.readContent(Buffer.from("1234"), 0);
  assert.equal(client.unansweredOctets, 4);
});

test("AUTH goes on line by line while the server answers 334", () => {
  const { framing: client, command, answer } = framing();
  command("AUTH LOGIN\r\n");
  answer(334);
  assert.equal(client.phase, "auth-response");
  assert.equal(client.readContent(Buffer.from("dXNlcg=="), 0), 8);
  assert.equal(client.phase, "auth-response");
  assert.equal(client.readContent(Buffer.from("\r\nMAIL"), 0), 2);
  assert.equal(client.phase, "awaiting-reply");
  answer(235);
  assert.equal(client.phase, "command");
});

test("only after a 235, and only at its first octet, can a SASL security layer begin (RFC 4422 §3.7)", () => {
  for (const [code, octet, isLayer] of [
    [235, 0, true],
    [535, 0, false],
    [235, 77, false],
  ] as const) {
    const { framing: client, command, answer } = framing();
    command("AUTH GSSAPI\r\n");
    answer(code);
    assert.equal(client.startsSaslLayer(octet), isLayer);
    assert.equal(client.startsSaslLayer(0), false);
  }
});

test("the rest of a long line belongs to its command, and what follows that begins behind it", () => {
  for (const [beginning, phase] of [
    ["NOOP x", "command"],
    ["XSOMETHING x", "awaiting-reply"],
  ] as const) {
    const { framing: client } = framing();
    client.readCommand(parseCommandLine(Buffer.from(beginning)), false, undefined);
    assert.equal(client.phase, "long-line");
    assert.equal(client.readContent(Buffer.from("xx"), 0), 2);
    assert.equal(client.phase, "long-line");
    assert.equal(client.readContent(Buffer.from("xx\r\nQUIT\r\n"), 0), 4);
    assert.equal(client.phase, phase);
  }
});

test("STARTTLS, TURN and unknown commands that succeed leave nothing to read", () => {
  for (const [line, code, reason] of [
    ["STARTTLS\r\n", 220, "starttls"],
    ["STARTTLS\r\n", 454, undefined],
    ["ATRN a.test\r\n", 250, "turn"],
    ["ATRN a.test\r\n", 450, undefined],
    ["XSOMETHING\r\n", 354, "unknown-command"],
    ["XSOMETHING\r\n", 250, undefined],
  ] as const) {
    const { framing: client, command, answer } = framing();
    command(line);
    assert.ok(client.isBlocked);
    assert.equal(answer(code), reason, `${line} ${code}`);
    assert.equal(client.phase, "command");
  }
});
