import assert from "node:assert/strict";
import { test } from "node:test";
import type { Envelope } from "../../../../shared/mail/envelope.ts";
import { type Extensions, noExtensions } from "../../../../shared/smtp/extensions.ts";
import {
  mailCommand,
  needsSmtpUtf8,
  rcptCommand,
  unfitFor,
} from "../../../../shared/smtp-client/transaction/mail-commands.ts";

const all: Extensions = {
  pipelining: true,
  eightBitMime: true,
  smtpUtf8: true,
  dsn: true,
  startTls: true,
  requireTls: true,
  size: true,
  auth: [],
};
const plain = { octets: 100, has8bit: false, needsSmtpUtf8: false };
const envelope = (given: Partial<Envelope> = {}): Envelope => ({
  reversePath: "a@example.com",
  recipients: [],
  ...given,
});

test("MAIL has no parameter that the server does not offer", () => {
  const everything = envelope({
    body: "8BITMIME",
    smtputf8: true,
    requireTls: true,
    ret: "HDRS",
    envid: "x",
  });
  const traits = { octets: 100, has8bit: true, needsSmtpUtf8: true };
  assert.equal(mailCommand(everything, traits, noExtensions), "MAIL FROM:<a@example.com>\r\n");
});

test("MAIL has the parameters that were given and are needed, for a server that offers them", () => {
  const everything = envelope({ body: "8BITMIME", requireTls: true, ret: "HDRS", envid: "a+b=c d" });
  assert.equal(
    mailCommand(everything, { octets: 100, has8bit: true, needsSmtpUtf8: true }, all),
    "MAIL FROM:<a@example.com> SIZE=100 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+2Bb+3Dc+20d\r\n",
  );
  assert.equal(mailCommand(envelope(), plain, all), "MAIL FROM:<a@example.com> SIZE=100\r\n");
  assert.equal(mailCommand(envelope({ reversePath: "" }), plain, noExtensions), "MAIL FROM:<>\r\n");
});

test("RCPT passes DSN parameters on unchanged (RFC 3461 §5.2.1)", () => {
  const address = "b@example.org";
  assert.equal(rcptCommand({ address }, all), "RCPT TO:<b@example.org>\r\n");
  assert.equal(rcptCommand({ address, notify: [] }, all), "RCPT TO:<b@example.org> NOTIFY=NEVER\r\n");
  assert.equal(
    rcptCommand({ address, notify: ["SUCCESS", "DELAY"], orcpt: "rfc822;b+x@example.org" }, all),
    "RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@example.org\r\n",
  );
  assert.equal(rcptCommand({ address, notify: ["SUCCESS"] }, noExtensions), "RCPT TO:<b@example.org>\r\n");
});

test("SMTPUTF8 is needed for addresses and headers beyond ASCII, not because the client said it (RFC 6531 §3.4)", () => {
  const ascii = [{ address: "b@example.org" }];
  assert.equal(needsSmtpUtf8(envelope({ smtputf8: true }), ascii, false), false);
  assert.equal(needsSmtpUtf8(envelope({ smtputf8: true }), ascii, true), true);
  assert.equal(needsSmtpUtf8(envelope({ smtputf8: true }), ascii, undefined), true);
  assert.equal(needsSmtpUtf8(envelope(), ascii, true), false);
  assert.equal(needsSmtpUtf8(envelope(), [{ address: "jörg@example.org" }], false), true);
  assert.equal(needsSmtpUtf8(envelope({ reversePath: "jörg@example.com" }), ascii, false), true);
});

test("a server is unfit for what it does not offer (RFC 6531 §3.5, RFC 1870 §6.1)", () => {
  const silent = envelope();
  assert.equal(unfitFor(silent, plain, noExtensions), undefined);
  assert.equal(unfitFor(silent, { ...plain, needsSmtpUtf8: true }, noExtensions)?.status, "5.6.7");
  assert.equal(unfitFor(silent, plain, { ...all, maxOctets: 99 })?.status, "5.3.4");
  assert.equal(unfitFor(silent, plain, { ...all, maxOctets: 100 }), undefined);
});

test("a server without 8BITMIME is unfit for 8-bit content that was declared, and for no other (RFC 6152 §3)", () => {
  const eightBit = { ...plain, has8bit: true };
  const declared = envelope({ body: "8BITMIME" });
  assert.equal(unfitFor(declared, eightBit, noExtensions)?.status, "5.6.3");
  assert.equal(unfitFor(declared, plain, noExtensions), undefined);
  assert.equal(unfitFor(declared, eightBit, all), undefined);
  for (const undeclared of [envelope(), envelope({ body: "7BIT" })]) {
    assert.equal(unfitFor(undeclared, eightBit, noExtensions), undefined);
  }
});
