import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { adviceFor } from "../../../services/bounce/advice.ts";
import { buildDsn } from "../../../services/bounce/build-dsn.ts";
import type { Dsn } from "../../../services/bounce/dsn.ts";
import { field, phrase, readable } from "../../../services/bounce/mime.ts";
import { cutToFields, fieldValue } from "../../../services/bounce/original.ts";
import { headerSection } from "../../../shared/spool/header-section.ts";
import { sampleDsns } from "./sample-dsns.ts";

function sample(name: string): Dsn {
  const dsn = sampleDsns[name];
  assert.ok(dsn);
  return dsn;
}
const textOf = (dsn: Dsn) => buildDsn(dsn).bytes.toString("utf8");

describe("every notification, hostile ones too", () => {
  for (const [name, dsn] of Object.entries(sampleDsns)) {
    test(`${name}: CRLF line ends only, lines within 998 octets (RFC 5322 §2.1.1), no NUL`, () => {
      const { bytes } = buildDsn(dsn);
      const text = bytes.toString("latin1");
      assert.doesNotMatch(text, /\r(?!\n)|(?<!\r)\n|\0/);
      for (const line of text.split("\r\n")) assert.ok(line.length <= 998, `${line.length} octets`);
    });

    test(`${name}: its header has no fields but ours, each once, and ends where we end it`, () => {
      const header = headerSection(buildDsn(dsn).bytes).toString();
      const names = header
        .split(/\r\n(?![ \t])/)
        .flatMap((line) => (line === "" ? [] : [line.split(":")[0]]));
      assert.equal(new Set(names).size, names.length);
      const known = [
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
      ];
      for (const each of names) assert.ok(known.includes(each ?? ""), each);
    });

    test(`${name}: has8bit and smtputf8 say what is in it (RFC 6152, RFC 6531)`, () => {
      const { bytes, has8bit, smtputf8 } = buildDsn(dsn);
      assert.equal(
        has8bit,
        bytes.some((octet) => octet > 127),
      );
      assert.equal(
        smtputf8,
        headerSection(bytes).some((octet) => octet > 127),
      );
    });
  }

  test("no line of any text of others becomes a line of the notification", () => {
    const evil = "x\r\nX-Injected: yes\r\n\r\n--report-1HZ8C4T00JHGFEDCBA\r\n\n\rX-Injected: again";
    const base = sample("failed-one");
    const [bob] = base.recipients;
    assert.ok(bob);
    const remote = { host: evil, address: evil, port: 25 };
    const reply = { code: 550, lines: [evil, evil], command: "RCPT" as const };
    const evils: Partial<Dsn>[] = [
      { to: evil },
      { from: { name: evil, address: evil } },
      { original: { ...base.original, envid: evil, client: { helo: evil, address: evil } } },
      {
        original: {
          ...base.original,
          attach: false,
          header: Buffer.from(`Subject: ${evil.replaceAll("\r\n", "\r\n ")}\r\n`),
        },
      },
      { recipients: [{ ...bob, address: evil, orcpt: `rfc822;${evil}` }] },
      { recipients: [{ ...bob, report: { ...bob.report, remote, reply, reason: evil } }] },
    ];
    for (const over of evils) assert.doesNotMatch(textOf({ ...base, ...over }), /^X-Injected/m);
  });
});

test("of an original with bare line ends only the header is returned, with CRLF (RFC 5322 §2.3)", () => {
  const dsn = sample("failed-one");
  const bare = Buffer.from("Subject: x\nX-Bare: y\r\n\r\nbody\r\n");
  const { bytes } = buildDsn({
    ...dsn,
    original: { ...dsn.original, full: bare, header: headerSection(bare) },
  });
  assert.doesNotMatch(bytes.toString("latin1"), /\r(?!\n)|(?<!\r)\n/);
  assert.match(bytes.toString(), /text\/rfc822-headers/);
});

describe("the status part, RFC 3464", () => {
  test("§2.3.7: Remote-MTA is a name, or an address in brackets", () => {
    assert.match(textOf(sample("failed-one")), /^Remote-MTA: dns; mx1\.example\.com\r$/m);
    assert.match(textOf(sample("failed-several")), /^Remote-MTA: dns; \[192\.0\.2\.77\]\r$/m);
    assert.match(textOf(sample("delivered")), /^Remote-MTA: dns; \[IPv6:2001:db8::25\]\r$/m);
  });

  test("§2.3.6: only a server's reply is called an SMTP reply", () => {
    assert.match(textOf(sample("failed-several")), /^Diagnostic-Code: X-Postern; the domain no-such-domain/m);
    assert.match(textOf(sample("failed-one")), /^Diagnostic-Code: smtp; 550 5\.1\.1 /m);
  });

  test("§2.2: no Received-From-MTA for what the gateway made itself", () => {
    const dsn = sample("failed-one");
    const { client: _, ...original } = dsn.original;
    assert.doesNotMatch(textOf({ ...dsn, original }), /^Received-From-MTA/m);
  });

  test("RFC 6533 §3: type utf-8 only for addresses that need it", () => {
    assert.match(textOf(sample("failed-international")), /^Final-Recipient: utf-8; jürgen@exämple\.com\r$/m);
    assert.match(textOf(sample("failed-one")), /^Final-Recipient: rfc822; bob@example\.com\r$/m);
  });

  test("RFC 6533 §3, §6: a notification to an ASCII address is ASCII throughout, and loses nothing by that", () => {
    const dsn = sample("failed-international-to-ascii-sender");
    const [juergen] = dsn.recipients;
    assert.ok(juergen);
    const recipients = [{ ...juergen, orcpt: "utf-8;jürgen+x@exämple.com" }];
    const { full, ...headersOnly } = dsn.original;
    for (const original of [dsn.original, headersOnly]) {
      const built = buildDsn({ ...dsn, recipients, original });
      const text = built.bytes.toString("latin1");
      assert.doesNotMatch(text, /[^\r\n\t -~]/);
      assert.equal(built.has8bit, false);
      assert.match(text, /^Final-Recipient: utf-8; j\\x\{FC\}rgen@ex\\x\{E4\}mple\.com\r$/m);
      assert.match(text, /^Original-Recipient: utf-8;j\\x\{FC\}rgen\\x\{2B\}x@ex\\x\{E4\}mple\.com\r$/m);
      const returned = text.slice(text.indexOf("Content-Type: message/global"));
      const encoded = returned.slice(returned.indexOf("\r\n\r\n") + 4, returned.lastIndexOf("\r\n--report-"));
      const octets = encoded
        .replace(/=\r\n/g, "")
        .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
      const sent = original === headersOnly ? original.header : full;
      assert.equal(Buffer.from(octets, "latin1").toString(), sent?.toString());
    }
  });

  test("RFC 3464 §2.3.5: no Remote-MTA where no server reported anything", () => {
    assert.doesNotMatch(textOf(sample("delayed")), /^Remote-MTA/m);
    assert.doesNotMatch(textOf(sample("failed-possibly-delivered")), /^Remote-MTA/m);
    const delayed = textOf(sample("delayed"));
    assert.match(delayed, /^ {4}mx1\.example\.com \(192\.0\.2\.25\) does not answer/m);
    assert.match(delayed, /^Diagnostic-Code: X-Postern; mx1\.example\.com/m);
  });

  test("no Original-Recipient where ORCPT had an address of nothing but spaces", () => {
    const dsn = sample("failed-one");
    const [bob] = dsn.recipients;
    assert.ok(bob);
    for (const orcpt of ["rfc822; ", "utf-8;   "])
      assert.doesNotMatch(textOf({ ...dsn, recipients: [{ ...bob, orcpt }] }), /^Original-Recipient/m);
  });

  test("words of a server beyond ASCII do not make an ordinary report international", () => {
    const dsn = sample("failed-one");
    const [bob] = dsn.recipients;
    assert.ok(bob);
    const reply = { code: 550, lines: ["kein Empfänger"], command: "RCPT" as const };
    const text = textOf({ ...dsn, recipients: [{ ...bob, report: { ...bob.report, reply } }] });
    assert.match(text, /^Content-Type: message\/delivery-status\r$/m);
    assert.match(text, /^Diagnostic-Code: smtp; 550 kein Empf\?nger\r$/m);
    assert.match(text, /550 kein Empf=C3=A4nger/);
  });
});

describe("the text for people", () => {
  test("recipients with the same report share a paragraph", () => {
    const text = textOf(sample("failed-several"));
    assert.equal(text.match(/no such user here\r\n\r\nWhat you can do/g)?.length, 1);
  });

  test("a thousand recipients do not make a thousand lines", () => {
    const dsn = sample("failed-one");
    const [bob] = dsn.recipients;
    assert.ok(bob);
    const recipients = Array.from({ length: 1000 }, (_, n) => ({ ...bob, address: `user${n}@example.com` }));
    const text = textOf({ ...dsn, recipients });
    assert.match(text, /and 950 more, who are named in the attached report/);
    assert.equal(text.match(/^Final-Recipient/gm)?.length, 1000);
  });

  test("a thousand recipients with a thousand long reasons make a notification of bounded size", () => {
    const dsn = sample("failed-one");
    const [bob] = dsn.recipients;
    const reply = bob?.report.reply;
    assert.ok(bob && reply);
    const recipients = Array.from({ length: 1000 }, (_, n) => ({
      address: `user${n}@example.com`,
      report: { ...bob.report, reply: { ...reply, lines: [`${n} ${"words ".repeat(500)}`] } },
    }));
    const { bytes } = buildDsn({ ...dsn, recipients });
    const text = bytes.toString("utf8");
    assert.ok(bytes.length < 512 * 1024, `${bytes.length}`);
    assert.equal(text.match(/^Final-Recipient/gm)?.length, 1000);
    assert.match(text, /with 980\s+more\s+recipients/);
  });

  test("long addresses and long reasons do not make a long text", () => {
    const dsn = sample("failed-one");
    const [bob] = dsn.recipients;
    const reply = bob?.report.reply;
    assert.ok(bob && reply);
    const recipients = Array.from({ length: 1000 }, (_, n) => ({
      address: `${"v".repeat(250)}${n}@${"d".repeat(60)}.${"d".repeat(60)}.${"d".repeat(60)}.example.com`,
      report: { ...bob.report, reply: { ...reply, lines: [`${n % 20} ${"words ".repeat(500)}`] } },
    }));
    const text = textOf({ ...dsn, recipients });
    assert.ok(text.indexOf("Content-Description: Delivery report") < 64 * 1024);
    assert.match(text, /and 47 more, who are named/);
  });

  test("a paragraph says that the message may have arrived only where that may be so", () => {
    const dsn = sample("failed-possibly-delivered");
    const [bob] = dsn.recipients;
    assert.ok(bob);
    const { possiblyDelivered: _, ...report } = bob.report;
    const carol = { address: "carol@example.com", report };
    for (const recipients of [
      [bob, carol],
      [carol, bob],
    ]) {
      const text = textOf({ ...dsn, recipients });
      const paragraphs = text.split("Your message could not be delivered to this recipient:").slice(1);
      assert.equal(paragraphs.length, 2);
      for (const [index, paragraph] of paragraphs.entries())
        assert.equal(/it\s+may\s+have\s+arrived/.test(paragraph), recipients[index] === bob);
    }
  });

  test("the sender is not advised to send a message again that may have arrived", () => {
    const text = textOf(sample("failed-possibly-delivered"));
    assert.match(text, /Ask the recipient before you send it again/);
    assert.doesNotMatch(text, /If the message still matters, send it again/);
  });

  test("the advice fits the status, and no server is blamed for what we found out ourselves", () => {
    assert.match(adviceFor("5.2.2", true), /full/);
    assert.match(adviceFor("5.2.99", true), /mailbox cannot take/);
    assert.match(adviceFor("5.1.10", false), /receives no mail at all/);
    assert.match(adviceFor("5.7.26", true), /could not verify/);
    assert.match(adviceFor("5.7.0", true), /server refused/);
    assert.match(adviceFor("5.7.0", false), /ask your mail administrator/);
    // RFC 8689 §4.2.1: from us it is about the sender's REQUIRETLS; from a server it is the server's own demand.
    assert.match(adviceFor("5.7.10", false), /protected connections only/);
    assert.match(adviceFor("5.7.10", true), /server refused/);
  });
});

describe("header fields", () => {
  test("are folded at spaces, and within words that no line could hold, by octets (RFC 5322 §2.1.1)", () => {
    assert.equal(field("A", "b c"), "A: b c\r\n");
    for (const character of ["x", "ü", "語", "🍲"]) {
      const folded = field("Diagnostic-Code", `${"word ".repeat(40)}${character.repeat(3000)}`);
      const [, ...lines] = folded.trimEnd().split("\r\n");
      for (const line of lines) {
        assert.ok(Buffer.byteLength(line) <= 998);
        assert.match(line, /^ \S/);
      }
      assert.equal(lines.join("").replaceAll(/[^🍲語üx]/gu, ""), character.repeat(3000));
      assert.ok(lines.some((line) => Buffer.byteLength(line) > 970));
    }
  });

  test("have no line of spaces alone (RFC 5322 §3.2.2)", () => {
    for (let length = 50; length < 80; length++) {
      const before = "x".repeat(length);
      const folded = field("Diagnostic-Code", `smtp; ${before}   ${"y".repeat(90)}  ${" ".repeat(200)}z `);
      for (const line of folded.trimEnd().split("\r\n")) assert.match(line, /\S$/);
    }
    assert.equal(field("Subject", "a  b"), "Subject: a b\r\n");
  });

  test("addresses and message ids are whole, however long", () => {
    const local = "v".repeat(256);
    const domain = `${"d".repeat(63)}.${"d".repeat(63)}.${"d".repeat(63)}.${"d".repeat(59)}.com`;
    const long = `${local}@${domain}`;
    const spaced = `"two  spaces ${"v".repeat(200)}"@${domain}`;
    const id = `<${"i".repeat(600)}@${domain}>`;
    const dsn = sample("failed-one");
    const [bob] = dsn.recipients;
    assert.ok(bob);
    for (const address of [long, spaced]) {
      const text = textOf({
        ...dsn,
        to: address,
        original: { ...dsn.original, header: Buffer.from(`Message-ID: ${id}\r\n`) },
        recipients: [{ ...bob, address, orcpt: `rfc822;${address}` }],
      });
      const lines = text.split("\r\n");
      for (const line of [
        `To: <${address}>`,
        `In-Reply-To: ${id}`,
        `References: ${id}`,
        `Final-Recipient: rfc822; ${address}`,
        `Original-Recipient: rfc822;${address}`,
      ])
        assert.ok(lines.includes(line), line);
    }
  });

  test("display names are quoted or encoded as they need it", () => {
    assert.equal(phrase("Mail Delivery System"), "Mail Delivery System");
    assert.equal(phrase('The "Post", Ltd.'), '"The \\"Post\\", Ltd."');
    assert.match(phrase("Postzustellung für alle"), /^=\?UTF-8\?B\?/);
  });

  test("encoded words are read in any charset that is known (RFC 2047)", () => {
    assert.equal(readable("=?utf-8?B?TWl0dGFn?= =?iso-8859-1?Q?_f=FCr_alle?="), "Mittag für alle");
    assert.equal(readable("=?no-such-charset?Q?x?="), "=?no-such-charset?Q?x?=");
  });

  test("the original's header ends at the empty line, and is cut between fields", () => {
    const message = Buffer.from("A: 1\r\nB: 2\r\n folded\r\nC: 3\r\n\r\nbody: no\r\n");
    const section = headerSection(message);
    assert.equal(section.toString(), "A: 1\r\nB: 2\r\n folded\r\nC: 3\r\n");
    assert.equal(cutToFields(section, 14).toString(), "A: 1\r\n");
    assert.equal(cutToFields(section, 24).toString(), "A: 1\r\nB: 2\r\n folded\r\n");
    assert.equal(fieldValue(section, "b"), "2 folded");
    assert.equal(fieldValue(section, "body"), undefined);
    assert.equal(headerSection(Buffer.from("\r\nbody\r\n")).length, 0);
  });
});
