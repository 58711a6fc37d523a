/** One notification of every kind, as values: the golden files show what they look like. */
import type { Dsn, DsnOriginal, DsnRecipient, RecipientReport } from "../../../services/bounce/dsn.ts";
import { headerSection } from "../../../shared/spool/header-section.ts";

const receivedAtMs = Date.UTC(2026, 10, 24, 3, 59, 0);
const minute = 60_000;
const hour = 60 * minute;
const mx = { host: "mx1.example.com", address: "192.0.2.25", port: 25 };

const message = [
  "Received: from desk.example.org (desk.example.org [198.51.100.7])\r\n\tby mail.example.org with ESMTP id 12345;\r\n\tTue, 24 Nov 2026 03:58:58 +0000",
  "From: Alice Example <alice@example.org>",
  "To: Bob <bob@example.com>, carol@example.com",
  "Subject: Lunch on Friday",
  "Date: Tue, 24 Nov 2026 04:58:57 +0100",
  "Message-ID: <lunch.1@example.org>",
  "MIME-Version: 1.0",
  "",
  "Dear Bob,",
  "",
  "are you free on Friday?",
  "",
].join("\r\n");

function original(text: string | Buffer = message, over: Partial<DsnOriginal> = {}): DsnOriginal {
  return {
    id: "1HZ8C4S30ABCDEFGHJ",
    receivedAtMs,
    client: { helo: "mail.example.org", address: "198.51.100.1" },
    smtputf8: false,
    header: headerSection(Buffer.from(text)),
    attach: true,
    ...over,
  };
}

function refusal(over: Partial<RecipientReport> = {}): RecipientReport {
  return {
    status: "5.1.1",
    reason: "the server refused the recipient",
    reply: { code: 550, enhanced: "5.1.1", lines: ["<bob@example.com>: no such user here"], command: "RCPT" },
    remote: mx,
    atMs: receivedAtMs + 2000,
    ...over,
  };
}

const bob: DsnRecipient = { address: "bob@example.com", report: refusal() };

function dsn(over: Partial<Dsn> = {}): Dsn {
  return {
    kind: "failed",
    id: "1HZ8C4T00JHGFEDCBA",
    boundary: "report-1HZ8C4T00JHGFEDCBA",
    madeAtMs: receivedAtMs + 7000,
    hostname: "gw.example.net",
    from: { name: "Mail Delivery System", address: "MAILER-DAEMON@gw.example.net" },
    to: "alice@example.org",
    original: original(),
    recipients: [bob],
    ...over,
  };
}

const hostileText = `550 evil\r\nX-Injected: yes\r\n\r\n--report-1HZ8C4T00JHGFEDCBA\r\n\u2028\u0000\u001b[31m ${"A".repeat(3000)}`;

export const sampleDsns: Record<string, Dsn> = {
  "failed-one": dsn(),
  "failed-several": dsn({
    original: original(message, { envid: "QQ314159" }),
    recipients: [
      bob,
      { address: "carol@example.com", orcpt: "rfc822;carol.smith@example.com", report: refusal() },
      {
        address: "dave@no-such-domain.example",
        report: {
          status: "5.1.2",
          reason: "the domain no-such-domain.example does not exist",
          atMs: receivedAtMs + 1000,
        },
      },
      {
        address: "eve@bank.example",
        report: refusal({
          status: "5.7.1",
          reply: {
            code: 554,
            enhanced: "5.7.1",
            lines: [
              "Message refused because of its content.",
              "See https://postmaster.bank.example/policy?id=20261124-0000-aa for what to do",
            ],
            command: "DOT",
          },
          remote: { host: "192.0.2.77", address: "192.0.2.77", port: 25 },
        }),
      },
    ],
  }),
  "failed-full": dsn({ original: original(message, { full: Buffer.from(message) }) }),
  "failed-full-8bit": (() => {
    const text = message
      .replace(
        "MIME-Version: 1.0",
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit",
      )
      .replace("Dear Bob", "Grüß Gott Bob");
    return dsn({ original: original(text, { full: Buffer.from(text) }) });
  })(),
  "failed-nothing-attached": dsn({ original: original(message, { attach: false }) }),
  "failed-possibly-delivered": dsn({
    recipients: [
      {
        address: "bob@example.com",
        report: {
          status: "5.4.7",
          reason:
            "delivery time expired after 5 days; the last error: the connection was lost after the final dot",
          remote: mx,
          atMs: receivedAtMs + 120 * hour,
          possiblyDelivered: true,
        },
      },
    ],
  }),
  "failed-removed": dsn({
    recipients: [
      {
        address: "bob@example.com",
        report: {
          status: "5.7.0",
          reason: "The administrator of this mail system removed the message before it could be delivered",
          atMs: receivedAtMs + 2 * hour,
        },
      },
    ],
  }),
  expired: dsn({
    madeAtMs: receivedAtMs + 120 * hour + 5000,
    recipients: [
      {
        address: "bob@example.com",
        report: {
          status: "5.4.7",
          reason: "delivery time expired after 5 days; the last error: greylisted",
          reply: {
            code: 451,
            enhanced: "4.7.1",
            lines: ["Greylisted, please try again later"],
            command: "RCPT",
          },
          remote: mx,
          atMs: receivedAtMs + 120 * hour,
        },
      },
    ],
  }),
  delayed: dsn({
    kind: "delayed",
    madeAtMs: receivedAtMs + 4 * hour,
    recipients: [
      {
        address: "bob@example.com",
        report: {
          status: "4.4.1",
          reason: "mx1.example.com (192.0.2.25) does not answer: connect ETIMEDOUT",
          remote: mx,
          atMs: receivedAtMs + 4 * hour,
          willRetryUntilMs: receivedAtMs + 120 * hour,
        },
      },
    ],
  }),
  relayed: dsn({
    kind: "relayed",
    recipients: [
      {
        address: "bob@example.com",
        orcpt: "rfc822;bob@example.com",
        report: {
          status: "2.0.0",
          reason: "accepted by a server that does not report on",
          reply: { code: 250, enhanced: "2.0.0", lines: ["Ok: queued as 4F00AC"], command: "DOT" },
          remote: mx,
          atMs: receivedAtMs + 2000,
        },
      },
    ],
  }),
  delivered: dsn({
    kind: "delivered",
    recipients: [
      {
        address: "bob@example.com",
        report: {
          status: "2.0.0",
          reason: "accepted",
          reply: { code: 250, lines: ["Ok: queued as 4F00AC"], command: "DOT" },
          remote: { host: "2001:db8::25", address: "2001:db8::25", port: 25 },
          atMs: receivedAtMs + 2000,
        },
      },
    ],
  }),
  "failed-international": (() => {
    const text = message
      .replace("bob@example.com", "jürgen@exämple.com")
      .replace("Lunch on Friday", "Mittagessen mit Jürgen 🍲")
      .replace("alice@example.org", "älice@example.org");
    return dsn({
      to: "älice@example.org",
      original: original(text, { smtputf8: true }),
      recipients: [
        {
          address: "jürgen@exämple.com",
          orcpt: "utf-8;jürgen@exämple.com",
          report: refusal({
            reply: { code: 550, enhanced: "5.1.1", lines: ["Jürgen? Kenne ich nicht"], command: "RCPT" },
          }),
        },
      ],
    });
  })(),
  "failed-international-to-ascii-sender": (() => {
    const text = message
      .replace("bob@example.com", "jürgen@exämple.com")
      .replace("Lunch on Friday", "Für dich");
    return dsn({
      original: original(text, { smtputf8: true, full: Buffer.from(text) }),
      recipients: [{ address: "jürgen@exämple.com", report: refusal() }],
    });
  })(),
  "failed-hostile": dsn({
    to: "alice@example.org>\r\nBcc: <victim@example.org",
    from: { name: 'Post "Office"\r\nX-Injected: yes', address: "MAILER-DAEMON@gw.example.net" },
    original: original(
      Buffer.concat([
        Buffer.from("Subject: =?utf-8?B?aGkNClgtSW5qZWN0ZWQ6IHllcw==?= =?nonsense?Q?x?=\r\n"),
        Buffer.from("Message-ID: <a b@c>\r\nX-Raw: \xff\xfe\r\n", "latin1"),
        Buffer.from(`X-Long: ${"y".repeat(2000)}\r\n--report-guess\r\n\r\nbody\r\n`),
      ]),
      {
        envid: "id\r\nX-Injected: yes",
        client: { helo: "ev il\r\nX-Injected: yes", address: "198.51.100.66" },
      },
    ),
    recipients: [
      {
        address: '"bob\r\nX-Injected: yes"@example.com',
        orcpt: "rfc822;bob\r\nX-Injected: yes",
        report: refusal({
          reply: { code: 550, lines: [hostileText, "-- ", "."], command: "RCPT" },
          remote: { host: "mx\r\nX-Injected: yes", address: "192.0.2.25", port: 25 },
        }),
      },
      { address: "carol@example.com", report: { status: "5.0.0", reason: hostileText, atMs: receivedAtMs } },
    ],
  }),
};
