import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMail, parseRcpt } from "../../../../services/ingress/message/envelope-command.ts";

function mail(line: string, maxMessageBytes = 1000, requireTls = false, auth = false) {
  const command = parseMail(line, { maxMessageBytes, requireTls, auth });
  return command.kind === "refused" ? command.reply.wire.slice(0, 9) : command;
}

function rcpt(line: string, smtputf8 = false) {
  const command = parseRcpt(line, smtputf8);
  return command.kind === "refused" ? command.reply.wire.slice(0, 9) : command;
}

test("MAIL gives the reverse-path and its parameters", () => {
  assert.deepEqual(mail("mail from:<Me@Example.com> size=900 body=8bitmime RET=HDRS ENVID=QQ+2B1 SMTPUTF8"), {
    kind: "mail",
    reversePath: "Me@Example.com",
    declaredOctets: 900,
    body: "8BITMIME",
    ret: "HDRS",
    envid: "QQ+1",
    smtputf8: true,
  });
  assert.deepEqual(mail("MAIL FROM:<>"), { kind: "mail", reversePath: "" });
});

test("spaces where none belong are tolerated", () => {
  assert.deepEqual(mail("MAIL  FROM: <me@example.com>  BODY=7BIT "), {
    kind: "mail",
    reversePath: "me@example.com",
    body: "7BIT",
  });
});

test("MAIL is refused with the code of the reason", () => {
  for (const [line, reply] of [
    ["MAIL", "501 5.5.4"],
    ["MAIL TO:<me@example.com>", "501 5.5.4"],
    ["MAIL FROM:", "501 5.1.7"],
    ["MAIL FROM:<me>", "501 5.1.7"],
    ["MAIL FROM:<me@example.com", "501 5.1.7"],
    ["MAIL FROM:<me@example.com>SIZE=1", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> SIZE=1001", "552 5.3.4"],
    ["MAIL FROM:<me@example.com> SIZE=999999999999999999999", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> SIZE", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> SIZE=-1", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> SIZE=1 SIZE=1", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> SIZE=1 size=2", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> BODY=BINARYMIME", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> RET=SOME", "501 5.5.4"],
    [`MAIL FROM:<me@example.com> ENVID=${"x".repeat(101)}`, "501 5.5.4"],
    ["MAIL FROM:<me@example.com> ENVID=a+0Ab", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> SMTPUTF8=YES", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> =1", "501 5.5.4"],
    ["MAIL FROM:<me@example.com> AUTH=<>", "555 5.5.4"],
    // RFC 8689 §2: it is offered under TLS only.
    ["MAIL FROM:<me@example.com> REQUIRETLS", "555 5.5.4"],
    ["MAIL FROM:<me@example.com> XYZZY=1", "555 5.5.4"],
    ["MAIL FROM:<m\u00e9@example.com>", "553 5.6.7"],
  ] as const)
    assert.equal(mail(line), reply, line);
});

test("REQUIRETLS is taken under TLS, and has no value (RFC 8689 §2)", () => {
  assert.deepEqual(mail("MAIL FROM:<me@example.com> requiretls", 0, true), {
    kind: "mail",
    reversePath: "me@example.com",
    requireTls: true,
  });
  assert.equal(mail("MAIL FROM:<me@example.com> REQUIRETLS=YES", 0, true), "501 5.5.4");
});

test("without a size limit every size is accepted", () => {
  assert.deepEqual(mail("MAIL FROM:<me@example.com> SIZE=99999999999", 0), {
    kind: "mail",
    reversePath: "me@example.com",
    declaredOctets: 99_999_999_999,
  });
});

test("RCPT gives the recipient and its parameters", () => {
  assert.deepEqual(
    rcpt('RCPT TO:<"a b"@Example.com> NOTIFY=success,FAILURE,success ORCPT=rfc822;a+2Bb@example.com'),
    {
      kind: "rcpt",
      recipient: {
        address: '"a b"@Example.com',
        notify: ["SUCCESS", "FAILURE"],
        orcpt: "rfc822;a+b@example.com",
      },
      sourceRoute: false,
    },
  );
  assert.deepEqual(rcpt("RCPT TO:<a@example.com> NOTIFY=NEVER"), {
    kind: "rcpt",
    recipient: { address: "a@example.com", notify: [] },
    sourceRoute: false,
  });
  assert.deepEqual(rcpt("RCPT TO:<@hop.example:a@example.com>"), {
    kind: "rcpt",
    recipient: { address: "a@example.com" },
    sourceRoute: true,
  });
});

test("RCPT is refused with the code of the reason", () => {
  for (const [line, reply] of [
    ["RCPT", "501 5.5.4"],
    ["RCPT FROM:<a@example.com>", "501 5.5.4"],
    ["RCPT TO:<>", "501 5.1.3"],
    ["RCPT TO:<a@>", "501 5.1.3"],
    ["RCPT TO:<a@example.com> NOTIFY", "501 5.5.4"],
    ["RCPT TO:<a@example.com> NOTIFY=NEVER,DELAY", "501 5.5.4"],
    ["RCPT TO:<a@example.com> NOTIFY=SOMETIMES", "501 5.5.4"],
    ["RCPT TO:<a@example.com> ORCPT=a@example.com", "501 5.5.4"],
    [`RCPT TO:<a@example.com> ORCPT=rfc822;${"x".repeat(500)}`, "501 5.5.4"],
    ["RCPT TO:<a@example.com> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4"],
    ["RCPT TO:<a@example.com> SIZE=1", "555 5.5.4"],
    ["RCPT TO:<\u00e9@example.com>", "553 5.6.7"],
    ["RCPT TO:<e@example.com> ORCPT=utf-8;\u00e9@example.com", "553 5.6.7"],
  ] as const)
    assert.equal(rcpt(line), reply, line);
});

test("SMTPUTF8 opens the address and its ORCPT to UTF-8", () => {
  assert.deepEqual(rcpt("RCPT TO:<\u00e9@b\u00fc.example> ORCPT=utf-8;\u00e9@b\u00fc.example", true), {
    kind: "rcpt",
    recipient: { address: "\u00e9@b\u00fc.example", orcpt: "utf-8;\u00e9@b\u00fc.example" },
    sourceRoute: false,
  });
});

test("where AUTH is offered, MAIL's AUTH= is taken and means nothing: no client vouches for another (RFC 4954 §5)", () => {
  const offered = (value: string) => mail(`MAIL FROM:<me@example.com>${value}`, 1000, true, true);
  const sender = { kind: "mail", reversePath: "me@example.com" };
  assert.deepEqual(offered(" AUTH=<>"), sender);
  assert.deepEqual(offered(" AUTH=e+3Dmc2@example.com"), sender);
  for (const value of [" AUTH", " AUTH=", " AUTH=+zz", ` AUTH=${"a".repeat(501)}`])
    assert.equal(offered(value), "501 5.5.4", value);
});
