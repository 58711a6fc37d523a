import assert from "node:assert/strict";
import { test } from "node:test";
import { generalise, reasonGroupOf } from "../../../shared/queue/operator/reason-group.ts";
import type { Diagnosis } from "../../../shared/smtp/diagnosis.ts";

/** What servers say about one message, and the words that say the same about any. */
const replies: [said: string, words: string][] = [
  ["Mailbox busy, try again later", "Mailbox busy, try again later"],
  ["<joe@two.example>: Recipient address rejected: over quota", "…: Recipient address rejected: over quota"],
  ["<>: null sender refused", "…: null sender refused"],
  ["joe.smith+x@two.example mailbox is full", "… mailbox is full"],
  [
    "Our system has detected an unusual rate from your IP. https://support.google.com/mail/?p=UnsolicitedRateLimitError x12-20020a05620a448c00b00 - gsmtp",
    "Our system has detected an unusual rate from your IP. https://support.google.com/mail/ … - gsmtp",
  ],
  [
    "Client host [192.0.2.7] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.7",
    "Client host … blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/…",
  ],
  ["Too many connections from 2001:db8::25", "Too many connections from …"],
  ["[TSS04] Messages from 192.0.2.7 temporarily deferred", "[TSS04] Messages from … temporarily deferred"],
  ["size 35882577 exceeds the limit of 26214400 octets", "size … exceeds the limit of … octets"],
  ["Greylisted, see RFC 6647, come back in 287 seconds", "Greylisted, see RFC 6647, come back in … seconds"],
  ["Greylisted for 5m", "Greylisted for …"],
  [
    "Must issue a STARTTLS command first, TLSv1.2 at least",
    "Must issue a STARTTLS command first, TLSv1.2 at least",
  ],
  ["queued for later as 4WbTx72nY3z1Qk", "queued for later as …"],
  ["Try later (#4.7.1) id=1a2b3c4d5e6f", "Try later (#4.7.1) id=…"],
  ["Service unavailable (S3150)", "Service unavailable (S3150)"],
  ["cannot connect to port 25: connection refused", "cannot connect to port 25: connection refused"],
  ["at 2026-11-30 12:30:45 the disk was full", "at … the disk was full"],
  ["mailbox of 4711 in use by pid 12, lock 0815", "mailbox of … in use by pid …, lock …"],
  ["message deadbeefdeadbeef refused", "message … refused"],
  ["Grüße, Postfach voll", "Grüße, Postfach voll"],
  ["", ""],
];
for (const [said, words] of replies) {
  test(`"${said}" is "${words}"`, () => assert.equal(generalise(said), words));
}

function diagnosis(given: Partial<Diagnosis>): Diagnosis {
  return { status: "4.2.1", class: "4xx", reason: "busy", atMs: 0, ...given };
}

test("the reply's code and enhanced status stay, and the server's name goes", () => {
  const group = (host: string, address: string, id: string) =>
    reasonGroupOf(
      diagnosis({
        reason: `${host} [${address}] said: 450 4.2.1 Mailbox of ${id} is full (in reply to RCPT TO)`,
        reply: {
          code: 450,
          enhanced: "4.2.1",
          lines: [`4.2.1 Mailbox of ${id} is`, "4.2.1 full"],
          command: "RCPT",
        },
        remote: { host, address, port: 25 },
      }),
    );
  const one = group("mx1.two.example", "192.0.2.1", "joe@two.example");
  assert.deepEqual(one, {
    key: "450 4.2.1 Mailbox of … is full",
    code: 450,
    status: "4.2.1",
    text: "Mailbox of … is full",
  });
  assert.deepEqual(group("backup.two.example", "2001:db8::1", "sue@two.example"), one);
});

test("without a reply the failure is told without the host", () => {
  const failure = (host: string, address: string): string =>
    reasonGroupOf(
      diagnosis({
        status: "4.4.1",
        class: "connect",
        reason: `cannot connect to ${host} [${address}] port 25: connection refused`,
        remote: { host, address, port: 25 },
      }),
    ).key;
  assert.equal(
    failure("mx.one.example", "192.0.2.1"),
    "4.4.1 cannot connect to … port 25: connection refused",
  );
  assert.equal(failure("mx.two.example", "192.0.2.2"), failure("mx.one.example", "192.0.2.1"));
});

test("the recipients' domain in a reply does not make a group of its own", () => {
  const group = (domain: string): string =>
    reasonGroupOf(
      diagnosis({
        class: "dns",
        status: "4.4.3",
        reason: `the addresses of mx1.${domain} cannot be found: no answer`,
      }),
      [domain],
    ).key;
  assert.equal(group("one.example"), group("two.example"));
});

test("two different answers stay two", () => {
  assert.notEqual(generalise("Mailbox full"), generalise("Mailbox busy"));
  const at = (code: number) =>
    reasonGroupOf(diagnosis({ reply: { code, lines: ["later"], command: "RCPT" } })).key;
  assert.notEqual(at(450), at(451));
});

/** A pattern that backtracks would take minutes. */
test("a hostile reply makes short words", () => {
  for (const piece of ["a:", "1.", "<", "@", "[1", "=", "x1", "…", "http://", "-"]) {
    const said = piece.repeat(60_000);
    assert.ok(generalise(said).length <= 200);
  }
});
