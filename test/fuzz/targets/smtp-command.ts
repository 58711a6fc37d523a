import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type MailCommand,
  parseMail,
  parseRcpt,
  type RcptCommand,
} from "../../../services/ingress/message/envelope-command.ts";
import { splitCommand } from "../../../services/ingress/session/command.ts";
import { parseCommandLine } from "../../../shared/smtp/command-line.ts";
import type { Extensions } from "../../../shared/smtp/extensions.ts";
import { decodeOrcpt, decodeXtext, encodeOrcpt, encodeXtext } from "../../../shared/smtp/xtext.ts";
import { mailCommand, rcptCommand } from "../../../shared/smtp-client/transaction/mail-commands.ts";
import { mustBeOneLine, type Target } from "../engine/target.ts";

const offer = { maxMessageBytes: 0, requireTls: true, auth: true };
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

const target: Target = {
  about: "a command line of a client, as the session and as the outgoing proxy read it",
  maxOctets: 12_288,
  check(input) {
    const line = input.toString("utf8").split(/[\r\n\0]/, 1)[0] ?? "";
    const { name, argument } = splitCommand(line);
    assert.ok(argument === argument.trim() && line.includes(argument));
    const seen = parseCommandLine(Buffer.from(`${line}\r\n`));
    assert.match(seen.verb, /^[^a-z\0- ]{0,17}$/u);
    if (name === "MAIL") {
      const command = parseMail(line, offer);
      if (command.kind === "refused") mustBeOneLine(command.reply.wire.trimEnd());
      else checkMail(command, line);
    }
    if (name === "RCPT") {
      const command = parseRcpt(line, true);
      if (command.kind === "refused") mustBeOneLine(command.reply.wire.trimEnd());
      else checkRcpt(command, line);
    }
    const decoded = decodeXtext(line);
    if (decoded !== undefined) assert.equal(decodeXtext(encodeXtext(decoded)), decoded);
    const orcpt = decodeOrcpt(line);
    if (orcpt !== undefined) {
      mustBeOneLine(orcpt);
      assert.match(encodeOrcpt(orcpt), /^[\x21-\x7e]+$/);
    }
  },
  seeds: [
    "MAIL FROM:<a@example.com> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=a+2Bb\r\n",
    'mail from: <"a b\\"@c"@example.com> SMTPUTF8 AUTH=<>',
    "MAIL FROM:<>",
    "MAIL FROM:<> ENVID=a+0Ab",
    "MAIL FROM:<a\u{2028}b@c> SMTPUTF8",
    "MAIL FROM:<@a,@b:user@[IPv6:2001:db8::1]> REQUIRETLS",
    "RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@example.org",
    "RCPT TO:<j\u{f6}rg@b\u{fc}cher.example> ORCPT=utf-8;j\\x{F6}rg@x",
    "RCPT TO:<postmaster>",
    "EHLO [192.0.2.1]",
    "BDAT 1000 LAST",
    "AUTH PLAIN AGEAYg==",
    " \tDATA",
    "XCLIENT ADDR=192.0.2.1",
    "utf-8;a\\x{1F48C}@x",
  ].map((line) => Buffer.from(line)),
  words: [
    "MAIL FROM:",
    "RCPT TO:",
    "<",
    ">",
    '"',
    "\\",
    "@",
    " SIZE=",
    " BODY=8BITMIME",
    " SMTPUTF8",
    " RET=FULL",
    " ENVID=",
    " NOTIFY=",
    "NEVER",
    "FAILURE",
    " ORCPT=",
    "utf-8;",
    "rfc822;",
    "\\x{10FFFF}",
    "+2B",
    "[IPv6:::1]",
    "[192.0.2.1]",
    "@a,@b:",
    "BDAT ",
    " LAST",
    "example.com",
    "\u{f6}",
  ],
  long: [
    ["MAIL FROM:<", '"a', "@x>"],
    ["MAIL FROM:<", "@a,", ":b@c>"],
    ["MAIL FROM:<a@b>", " A=1", ""],
    ["RCPT TO:<a@b> ORCPT=utf-8;", "\\x{41}", "="],
    ["RCPT TO:", '"\\', ""],
    ["", " ", "DATA"],
    ["MAIL", " ", "FROM"],
    ["BURL", " ", "x"],
  ],
  properties: {
    "what xtext encodes, it decodes": fc.property(fc.string({ unit: "grapheme-ascii" }), (text) => {
      assert.equal(decodeXtext(encodeXtext(text)), text);
    }),
    "an original recipient with any characters comes back from its ASCII form (RFC 6533 §3)": fc.property(
      fc.string({ unit: "binary", minLength: 1 }),
      (text) => {
        const address = text.replace(/[\p{Cc}\u2028\u2029\p{Cs}]/gu, "x");
        assert.equal(decodeOrcpt(encodeOrcpt(`utf-8;${address}`)), `utf-8;${address}`);
      },
    ),
    "BDAT says what was written": fc.property(
      fc.integer({ min: 0, max: 10 ** 14 }),
      fc.boolean(),
      (octets, last) => {
        const command = parseCommandLine(Buffer.from(`BDAT ${octets}${last ? " LAST" : ""}\r\n`));
        assert.deepEqual(command, { kind: "bdat", verb: "BDAT", octets, last });
      },
    ),
  },
};
export default target;

/** What goes to the next server says the same, and both of our parsers read the same path. */
function checkMail(command: MailCommand, line: string): void {
  mustBeOneLine(command.reversePath);
  mustBeOneLine(command.envid ?? "");
  const { kind: _, declaredOctets, ...envelope } = command;
  const traits = {
    octets: declaredOctets,
    has8bit: command.body === "8BITMIME",
    needsSmtpUtf8: command.smtputf8 === true,
  };
  const sent = mailCommand({ ...envelope, recipients: [] }, traits, all);
  const again = parseMail(sent.slice(0, -2), offer);
  if (command.body === "7BIT") delete command.body;
  // A size is a number for us: more digits than it can hold come back as other ones.
  if ((declaredOctets ?? 0) <= Number.MAX_SAFE_INTEGER) assert.deepEqual(again, command, sent);
  const seen = parseCommandLine(Buffer.from(`${line}\r\n`));
  if (seen.kind === "mail" && /:\s*<[^@]/.test(line)) assert.equal(seen.reversePath, command.reversePath);
}

function checkRcpt(command: RcptCommand, line: string): void {
  mustBeOneLine(command.recipient.address);
  const sent = rcptCommand(command.recipient, all);
  assert.deepEqual(parseRcpt(sent.slice(0, -2), true), { ...command, sourceRoute: false }, sent);
  const seen = parseCommandLine(Buffer.from(`${line}\r\n`));
  if (seen.kind === "rcpt" && /:\s*<[^@]/.test(line))
    assert.equal(seen.forwardPath, command.recipient.address);
}
