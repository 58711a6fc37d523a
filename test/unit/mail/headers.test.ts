import assert from "node:assert/strict";
import { test } from "node:test";
import { HeaderScan } from "../../../shared/mail/headers.ts";

function scan(...pieces: string[]): { receivedFields: number; messageId: string | undefined; open: boolean } {
  const headers = new HeaderScan();
  for (const piece of pieces) if (headers.open) headers.push(Buffer.from(piece));
  return { receivedFields: headers.receivedFields, messageId: headers.messageId, open: headers.open };
}

/** The same whatever the pieces. */
function everyCut(message: string) {
  const whole = scan(message);
  for (let at = 0; at <= message.length; at++)
    assert.deepEqual(scan(message.slice(0, at), message.slice(at)), whole, `cut at ${at}`);
  assert.deepEqual(scan(...message), whole);
  return whole;
}

test("Received fields of the header section are counted, those of the body are not", () => {
  const message =
    "Received: from a\r\n\tby b\r\nRECEIVED : from c\r\nreceived:d\r\nX-Received: no\r\nReceived-SPF: no\r\n\r\nReceived: no\r\n";
  assert.deepEqual(everyCut(message), { receivedFields: 3, messageId: undefined, open: false });
});

test("the Message-ID is found, folded or not, in any case", () => {
  assert.equal(everyCut("Subject: x\r\nMESSAGE-id: <a.b@c>\r\n\r\n").messageId, "<a.b@c>");
  assert.equal(everyCut("Message-ID:\r\n\t<a.b@c>\r\n\r\n").messageId, "<a.b@c>");
  assert.equal(everyCut("Message-ID: (comment) <a.b@c> junk\r\n\r\n").messageId, "<a.b@c>");
});

test("the first of two Message-IDs counts, and none in the body", () => {
  assert.equal(scan("Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n").messageId, "<a@b>");
  assert.equal(scan("Subject: x\r\n\r\nMessage-ID: <c@d>\r\n").messageId, undefined);
});

test("a malformed Message-ID is ignored", () => {
  assert.equal(scan(`Message-ID: <${"x".repeat(5000)}@b>\r\n\r\n`).messageId, undefined);
  assert.equal(scan("Message-ID: <a\tb@c>\r\n\r\n").messageId, undefined);
  assert.equal(scan("Message-ID: <a\u0007@c>\r\n\r\n").messageId, undefined);
  assert.equal(scan("Message-ID: nothing\r\n\r\n").messageId, undefined);
  assert.equal(scan(`Message-ID: ${"\r\n x".repeat(100_000)}\r\n\r\n`).messageId, undefined);
});

test("TLS-Required: No is found, folded or not, in any case; anything else is not (RFC 8689 §3)", () => {
  const asks = (message: string): boolean => {
    const each = [[message], [...message]].map((pieces) => {
      const headers = new HeaderScan();
      for (const piece of pieces) if (headers.open) headers.push(Buffer.from(piece));
      return headers.tlsOptional;
    });
    assert.equal(each[0], each[1]);
    return each[0] === true;
  };
  for (const field of [
    "TLS-Required: No",
    "tls-required:no ",
    "TLS-Required : NO",
    "TLS-Required:\r\n\tNo",
  ]) {
    assert.ok(asks(`To: a@b\r\n${field}\r\nSubject: x\r\n\tno\r\n\r\n`), field);
  }
  for (const fields of [
    "TLS-Required: Yes",
    "TLS-Required: No, really",
    "TLS-Required:",
    "TLS-Required: No\r\n body",
    "X-TLS-Required: No",
    `TLS-Required: ${" ".repeat(5000)}No`,
    // §3 forbids several: which one would hold?
    "TLS-Required: No\r\nTLS-Required: No",
    "Subject: x\r\n\r\nTLS-Required: No",
  ]) {
    assert.ok(!asks(`${fields}\r\n\r\n`), fields);
  }
});

test("an endless header section is read up to a limit", () => {
  const headers = new HeaderScan();
  const block = Buffer.from("X-Filler: nothing\r\n".repeat(1000));
  let pushes = 0;
  while (headers.open && pushes < 100) {
    headers.push(block);
    pushes++;
  }
  assert.equal(pushes, Math.ceil((256 * 1024 + 1) / block.length));
});

test("an endless line costs no memory and adds no field", () => {
  const headers = new HeaderScan();
  headers.push(Buffer.from("Received: "));
  for (let i = 0; i < 20; i++) headers.push(Buffer.alloc(8192, "x"));
  headers.push(Buffer.from("\r\nReceived: b\r\n\r\n"));
  assert.equal(headers.receivedFields, 2);
});
