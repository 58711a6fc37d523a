import assert from "node:assert/strict";
import { test } from "node:test";
import {
  afterInline,
  nextAttemptAtMs,
  remainingMessage,
} from "../../../../services/ingress/inline/after-inline.ts";
import { refusalForClient, replyForClient } from "../../../../services/ingress/inline/remote-reply.ts";
import type { ReceivedMessage } from "../../../../services/ingress/message/record.ts";
import type { Envelope } from "../../../../shared/mail/envelope.ts";
import type { Route } from "../../../../shared/routing/route.ts";
import type { Diagnosis, Outcome } from "../../../../shared/smtp/diagnosis.ts";

const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };
const delivered = (dsnPassedOn = true): Outcome => ({
  kind: "delivered",
  reply: { code: 250, lines: ["ok"], command: "DOT" },
  remote,
  dsnPassedOn,
});
const diagnosis: Diagnosis = { status: "5.7.1", class: "5xx", reason: "no", atMs: 0 };
const rejected: Outcome = { kind: "rejected", diagnosis };
const deferred: Outcome = { kind: "deferred", diagnosis: { ...diagnosis, status: "4.7.1", class: "4xx" } };

function envelope(...notify: ("SUCCESS" | undefined)[]): Envelope {
  const recipients = notify.map((event, n) => ({
    address: `u${n}@example.com`,
    ...(event === undefined ? {} : { notify: [event] }),
  }));
  return { reversePath: "me@example.org", recipients };
}
const three = envelope(undefined, undefined, undefined);

for (const [name, given, inline, outcome, expected] of [
  ["all delivered", three, [0, 1, 2], delivered(), { kind: "delivered" }],
  [
    "some delivered",
    three,
    [0, 2],
    delivered(),
    { kind: "stored", queued: [1], reported: [], tried: new Map() },
  ],
  ["all refused", three, [0, 1, 2], rejected, { kind: "refused", diagnosis }],
  [
    "some refused",
    three,
    [1],
    rejected,
    { kind: "stored", queued: [0, 1, 2], reported: [], tried: new Map() },
  ],
  [
    "deferred",
    three,
    [0, 1, 2],
    deferred,
    { kind: "stored", queued: [0, 1, 2], reported: [], tried: new Map() },
  ],
  [
    "none accepted",
    three,
    [],
    deferred,
    { kind: "stored", queued: [0, 1, 2], reported: [], tried: new Map() },
  ],
  ["SUCCESS, reported by the server", envelope("SUCCESS"), [0], delivered(), { kind: "delivered" }],
  [
    "SUCCESS, not reported by the server",
    envelope(undefined, "SUCCESS"),
    [0, 1],
    delivered(false),
    { kind: "stored", queued: [], reported: [1], tried: new Map() },
  ],
  [
    "SUCCESS of the null sender",
    { ...envelope("SUCCESS"), reversePath: "" },
    [0],
    delivered(false),
    { kind: "delivered" },
  ],
] as [string, Envelope, number[], Outcome, ReturnType<typeof afterInline>][]) {
  test(`after inline delivery: ${name}`, () => {
    assert.deepEqual(afterInline(given, inline, outcome, new Map(), false), expected);
  });
}

test("a client that disconnects before the reply keeps a message that no recipient has (RFC 5321 §4.2.5)", () => {
  const after = (inline: number[], outcome: Outcome) =>
    afterInline(three, inline, outcome, new Map(), true).kind;
  assert.equal(after([0, 1, 2], deferred), "unheard");
  assert.equal(after([1], rejected), "unheard");
  assert.equal(after([0, 1, 2], delivered()), "delivered");
  assert.equal(after([0], delivered()), "stored");
});

const said = (code: number, command: "CONNECT" | "RCPT" | "DOT"): Diagnosis => ({
  ...diagnosis,
  status: "4.0.0",
  class: "4xx",
  reply: { code, lines: ["later"], command },
});
const lost: Diagnosis = { ...diagnosis, status: "4.4.2", class: "network" };

for (const [name, outcome, deferred, tried] of [
  ["451 at the dot", { kind: "deferred", diagnosis: said(451, "DOT") }, [], [1, 2]],
  ["lost before the dot", { kind: "deferred", diagnosis: lost }, [], []],
  ["lost behind the dot", { kind: "deferred", diagnosis: { ...lost, possiblyDelivered: true } }, [], [1, 2]],
  ["450 at RCPT", delivered(), [[0, said(450, "RCPT")]], [0]],
  ["too many recipients", delivered(), [[0, said(452, "RCPT")]], []],
  ["421 in the greeting", rejected, [[0, said(421, "CONNECT")]], [0]],
  ["no answer to RCPT", rejected, [[0, lost]], []],
] as [string, Outcome, [number, Diagnosis][], number[]][]) {
  test(`after inline delivery, recipients that were tried: ${name}`, () => {
    const next = afterInline(three, [1, 2], outcome, new Map(deferred), false);
    assert.ok(next.kind === "stored");
    assert.deepEqual([...next.tried.keys()], tried);
  });
}

const policy = { retry: [1000, 5000], expire: 100_000, dsn_expire: 0, delay_warning: 0 };
const routeTo = (domain: string): Route => ({
  row: "to-protected",
  setting: "protected[0]",
  nextHop: { kind: "mx", domain },
  inline: true,
});
const received: ReceivedMessage = {
  connection: {
    id: "1",
    listener: "mx",
    client: { address: "192.0.2.1", port: 25 },
    destination: { address: "192.0.2.2", port: 25 },
    direction: "incoming",
  },
  hostname: "mail.example.org",
  helo: "client.example",
  ehlo: true,
  tls: undefined,
  user: undefined,
  envelope: three,
  routes: ["a.example", "b.example", "c.example"].map(routeTo),
  messageId: undefined,
  size: 100,
  has8bit: false,
};

test("the record has the recipients of the queue first, then those that only get a success report", () => {
  const next = { kind: "stored" as const, queued: [2], reported: [0], tried: new Map() };
  const reply = { code: 250, lines: ["taken"], command: "DOT" as const };
  const remote = { host: "mx.example.com", address: "192.0.2.25", port: 25 };
  const success = { kind: "delivered" as const, reply, remote, atMs: 1 };
  const { envelope, routes, delivered, tried } = remainingMessage(received, next, success, 0, policy, 0.5);
  assert.deepEqual(
    envelope.recipients.map(({ address }) => address),
    ["u2@example.com", "u0@example.com"],
  );
  assert.deepEqual(routes, [routeTo("c.example")]);
  assert.deepEqual(delivered, { recipients: [1], success });
  assert.equal(tried, undefined);
});

test("recipients that were tried are recorded by their position, to be tried again after the queue's first wait", () => {
  const later = said(451, "DOT");
  const next = {
    kind: "stored" as const,
    queued: [1, 2],
    reported: [],
    tried: new Map([[2, { ...later, atMs: 50 }]]),
  };
  assert.deepEqual(remainingMessage(received, next, undefined, 0, policy, 0.5).tried, {
    untilMs: 1050,
    last: [{ recipients: [1], diagnosis: { ...later, atMs: 50 } }],
  });
});

test("the queue's next attempt comes after its first wait, the warning or the expiry, whatever is first", () => {
  const sender = { receivedAtMs: 0, nullSender: false };
  assert.equal(nextAttemptAtMs(50, sender, policy, 0.5), 1050);
  assert.equal(nextAttemptAtMs(50, sender, policy, 0), 950);
  assert.equal(nextAttemptAtMs(50, sender, { ...policy, delay_warning: 700 }, 0.5), 700);
  assert.equal(nextAttemptAtMs(50, sender, { ...policy, expire: 0 }, 0.5), 0);
  assert.equal(nextAttemptAtMs(50, { ...sender, nullSender: true }, policy, 0.5), 0);
});

test("a remote server's reply passes line for line, each with code and status, and none too long (RFC 5321 §4.5.3.1.5)", () => {
  const reply = {
    code: 550,
    enhanced: "5.1.1" as const,
    lines: ["no such", "user here"],
    command: "RCPT" as const,
  };
  assert.equal(replyForClient(reply).wire, "550-5.1.1 no such\r\n550 5.1.1 user here\r\n");
  const ownStatus = { ...reply, lines: ["no such user", "5.7.1 and no relaying", ""] };
  assert.equal(
    replyForClient(ownStatus).wire,
    "550-5.1.1 no such user\r\n550-5.7.1 and no relaying\r\n550 5.1.1 \r\n",
  );
  assert.equal(
    replyForClient({ code: 550, lines: [""], command: "RCPT" }).wire,
    "550 5.0.0 No reason was given\r\n",
  );
  const long = replyForClient({ ...reply, lines: Array(50).fill("x".repeat(1000)) });
  const lines = long.wire.trimEnd().split("\r\n");
  assert.equal(lines.length, 50);
  for (const line of lines) assert.ok(Buffer.byteLength(line) <= 510);
});

for (const [command, code] of [
  ["CONNECT", 556],
  ["MAIL", 556],
  ["RCPT", 556],
  ["DOT", 554],
] as const) {
  test(`521 to ${command} becomes ${code}: the gateway itself takes mail (RFC 7504 §4)`, () => {
    const reply = { code: 521, enhanced: "5.3.2" as const, lines: ["we take no mail"], command };
    assert.equal(replyForClient(reply).wire, `${code} 5.3.2 we take no mail\r\n`);
  });
}

test("a refusal that no server gave has the code of its status", () => {
  for (const [status, code] of [
    ["5.3.4", 552],
    ["5.6.7", 553],
    ["5.6.3", 554],
  ] as const) {
    assert.equal(refusalForClient({ ...diagnosis, status }).code, code);
  }
});
