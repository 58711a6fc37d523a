/** Each reply of a server means the same for mail from the spool and for mail that a client is still sending. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Outcome } from "../../shared/smtp/diagnosis.ts";
import { outcomes, servers, summary, testMessage, testTransport } from "../support/smtp-client-fixture.ts";
import {
  type Answer,
  close,
  deaf,
  hang,
  reset,
  type SmtpPeer,
  type SmtpScript,
  startSmtpPeer,
  thenClose,
  usualExtensions,
} from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

interface Row {
  name: string;
  /** How the server answers the first message; it takes every other. */
  script: SmtpScript;
  /** Of the first and of the second recipient. */
  outcomes: [string, string];
  /** The same for mail from the spool: no client has heard a refusal yet, and it can be taken back. Absent: `outcomes`. */
  stored?: [string, string];
  /** Whether the next message goes over the same connection. */
  isReused: boolean;
  /** The whole message was sent, and may have arrived. */
  possiblyDelivered?: true;
  /** Only of a server without PIPELINING. */
  isOneByOne?: true;
  /** Of more octets than the sockets buffer. */
  isLarge?: true;
}

const bye = thenClose("421 4.3.2 going down");
const nonsense: Answer = { do: "raw", octets: "what?\r\n" };
const toSecond = (answer: Answer) => (address: string) => (address.startsWith("second") ? answer : undefined);
const toFirst = (answer: Answer) => (address: string) => (address.startsWith("first") ? answer : undefined);

const both = (outcome: string): [string, string] => [outcome, outcome];
const outOfStep = both("deferred 4.5.0 network");
const goingDown = both("deferred 4.3.2 4xx");
const lost = both("deferred 4.4.2 network");
const uncertain = { possiblyDelivered: true } as const;
const large = { isLarge: true } as const;

const rows: Row[] = [
  { name: "nothing unusual", script: {}, outcomes: both("delivered"), isReused: true },

  row("5xx to MAIL", { mail: () => "550 5.7.1 not you" }, both("rejected 5.7.1 5xx"), true),
  row("4xx to MAIL", { mail: () => "451 4.3.0 later" }, both("deferred 4.3.0 4xx"), true),
  row("3xx to MAIL", { mail: () => "354 go on" }, outOfStep, false),
  row("421 to MAIL", { mail: () => bye }, goingDown, false),
  row("a connection closed at MAIL", { mail: () => close }, lost, false),
  row("a connection reset at MAIL", { mail: () => reset }, lost, false),
  row("no reply to MAIL", { mail: () => hang }, lost, false),
  row("no SMTP in reply to MAIL", { mail: () => nonsense }, outOfStep, false),
  row("a second reply to MAIL", { mail: () => "250 ok\n250 ok" }, outOfStep, false),

  {
    ...row(
      "a refusal that nobody asked for after MAIL",
      { mail: () => "250 ok\n550 5.7.1 no" },
      outOfStep,
      false,
    ),
    // Written ahead, RCPT is out already: the refusal looks like the answer to it.
    isOneByOne: true,
  },

  row("251 to RCPT", { rcpt: () => "251 2.1.5 will forward" }, both("delivered"), true),
  row(
    "5xx to a RCPT",
    { rcpt: toSecond("550 5.1.1 no such user") },
    ["delivered", "rejected 5.1.1 5xx"],
    true,
  ),
  row("4xx to a RCPT", { rcpt: toFirst("450 4.2.0 later") }, ["deferred 4.2.0 4xx", "delivered"], true),
  row("552 to the first RCPT", { rcpt: toFirst("552 too many") }, ["deferred 4.2.2 5xx", "delivered"], true),
  row(
    "552 to a RCPT for the mailbox",
    { rcpt: toSecond("552 5.2.2 full") },
    ["delivered", "rejected 5.2.2 5xx"],
    true,
  ),
  row("5xx to every RCPT", { rcpt: () => "550 5.1.1 no such user" }, both("rejected 5.1.1 5xx"), true),
  row("3xx to the first RCPT", { rcpt: toFirst("354 go on") }, outOfStep, false),
  row("3xx to a RCPT after one was accepted", { rcpt: toSecond("354 go on") }, outOfStep, false),
  row(
    "3xx to a RCPT after one was refused",
    { rcpt: (address) => (address.startsWith("first") ? "550 5.1.1 no such user" : "354 go on") },
    ["rejected 5.1.1 5xx", "deferred 4.5.0 network"],
    false,
    { stored: outOfStep },
  ),
  row("421 to a RCPT", { rcpt: toSecond(bye) }, goingDown, false),
  row("a connection closed at RCPT", { rcpt: toSecond(close) }, lost, false),
  row("no reply to a RCPT", { rcpt: toSecond(hang) }, lost, false),
  row("a second reply to a RCPT", { rcpt: toSecond("250 ok\n250 ok") }, outOfStep, false),

  row("5xx to DATA", { data: () => "554 5.7.1 no" }, both("rejected 5.7.1 5xx"), true),
  row("4xx to DATA", { data: () => "451 4.3.0 later" }, both("deferred 4.3.0 4xx"), true),
  row("2xx to DATA", { data: () => "250 2.0.0 fine" }, outOfStep, false),
  row("another 3xx than 354 to DATA", { data: () => "334 go on" }, outOfStep, false),
  row("421 to DATA", { data: () => bye }, goingDown, false),
  row("a connection closed at DATA", { data: () => close }, lost, false),
  row("no reply to DATA", { data: () => hang }, lost, false),

  row("5xx before the dot", { body: () => "554 5.7.1 no" }, both("rejected 5.7.1 5xx"), false, large),
  row("4xx before the dot", { body: () => "451 4.3.0 no" }, both("deferred 4.3.0 4xx"), false, large),
  row("2xx before the dot", { body: () => "250 2.0.0 got it" }, outOfStep, false, large),
  row("421 before the dot", { body: () => bye }, goingDown, false, large),
  row("a server that reads nothing more", { body: () => deaf }, lost, false, large),
  row("a connection reset before the dot", { body: () => reset }, lost, false, large),

  row("5xx to the dot", { message: () => "550 5.7.26 spam" }, both("rejected 5.7.26 5xx"), true),
  row("4xx to the dot", { message: () => "451 4.3.0 later" }, both("deferred 4.3.0 4xx"), true),
  row("3xx to the dot", { message: () => "354 go on" }, outOfStep, false, uncertain),
  row("421 to the dot", { message: () => bye }, goingDown, false),
  row("a connection closed at the dot", { message: () => close }, lost, false, uncertain),
  row("a connection reset at the dot", { message: () => reset }, lost, false, uncertain),
  row("no reply to the dot", { message: () => hang }, lost, false, uncertain),
  row("no SMTP in reply to the dot", { message: () => nonsense }, outOfStep, false, uncertain),
  row("a second reply to the dot", { message: () => "250 ok\n250 ok" }, both("delivered"), false),

  row(
    "5xx to RSET",
    refusedThen(() => "500 5.5.2 what?"),
    both("deferred 4.3.0 4xx"),
    false,
  ),
  row(
    "3xx to RSET",
    refusedThen(() => "354 go on"),
    both("deferred 4.3.0 4xx"),
    false,
  ),
  row(
    "421 to RSET",
    refusedThen(() => bye),
    both("deferred 4.3.0 4xx"),
    false,
  ),
  row(
    "a connection closed at RSET",
    refusedThen(() => close),
    both("deferred 4.3.0 4xx"),
    false,
  ),
  row(
    "no reply to RSET",
    refusedThen(() => hang),
    both("deferred 4.3.0 4xx"),
    false,
  ),
];

function row(
  name: string,
  script: SmtpScript,
  expected: [string, string],
  isReused: boolean,
  more: Partial<Row> = {},
): Row {
  return { name, script, outcomes: expected, isReused, ...more };
}

function refusedThen(rset: NonNullable<SmtpScript["rset"]>): SmtpScript {
  return { data: () => "451 4.3.0 later", rset };
}

const recipients = ["first@x.test", "second@x.test"];
type Client = ReturnType<typeof testTransport>;

/** Gives the server one message for both recipients. @returns the outcome of each */
type Driver = (client: Client, peer: SmtpPeer, content: Buffer) => Promise<(Outcome | undefined)[]>;

const drivers: [string, Driver][] = [
  [
    "from the spool",
    (client, peer, content) => outcomes(client, servers(peer), testMessage({ to: recipients, content })),
  ],
  ["from a live client", passOn],
];

/** As a session of the ingress service does it. */
async function passOn(client: Client, peer: SmtpPeer, content: Buffer): Promise<(Outcome | undefined)[]> {
  const { meta } = testMessage({ helo: "client.test" });
  assert.ok(meta.origin);
  const transaction = client.openInline({
    nextHop: servers(peer),
    envelope: { ...meta.envelope, recipients: [] },
    origin: meta.origin,
    client: "192.0.2.1",
  });
  const refused = new Map<string, Outcome>();
  for (const address of recipients) {
    const answer = await transaction.recipient({ address });
    if (answer.kind !== "accepted") refused.set(address, answer);
  }
  if (refused.size === recipients.length) {
    transaction.abandon();
    return [...refused.values()];
  }
  transaction.startData(Buffer.alloc(0));
  for (let at = 0; at < content.length; at += 65_536) {
    await transaction.write(content.subarray(at, at + 65_536));
  }
  const { outcome } = await transaction.finish();
  return recipients.map((address) => refused.get(address) ?? outcome);
}

const small = Buffer.from("Subject: test\r\n\r\nHello.\r\n");
const big = Buffer.alloc(24 * 1024 * 1024, `${"x".repeat(998)}\r\n`);

/** The script until the second MAIL. */
function once(script: SmtpScript): SmtpScript {
  let mails = 0;
  const { mail, ...others } = script;
  const steps = Object.entries(others) as [string, (...given: unknown[]) => Answer | undefined][];
  const first = steps.map(([step, answer]) => [
    step,
    (...given: unknown[]) => (mails > 1 ? undefined : answer(...given)),
  ]);
  return {
    ...Object.fromEntries(first),
    mail: (...given) => (++mails > 1 ? undefined : mail?.(...given)),
  };
}

async function check(
  t: TestContext,
  driver: Driver,
  extensions: string[],
  row: Row,
  expected: [string, string],
): Promise<void> {
  const peer = await startSmtpPeer({ script: once(row.script), extensions });
  const quick = "1s";
  const client = testTransport({
    config: {
      timeouts: { mail: quick, rcpt: quick, data: quick, body: quick, dot: quick, inline: quick },
      limits: { clients: {}, destinations: [{ match: "*", connections: 1 }] },
    },
  });
  t.after(async () => {
    await client.close(1000);
    await peer.stop();
  });
  const found = await driver(client, peer, row.isLarge ? big : small);
  assert.deepEqual(found.map(summary), expected);
  for (const outcome of found) {
    if (outcome === undefined || outcome.kind === "delivered") continue;
    assert.equal(outcome.diagnosis.possiblyDelivered, row.possiblyDelivered);
  }
  const delivered = recipients.filter((_, i) => expected[i] === "delivered");
  assert.deepEqual(
    peer.received.flatMap(({ to }) => to.map(({ address }) => address)),
    delivered,
    "a recipient is reported as delivered exactly when the server has the message for it",
  );
  // With one connection to the server, the next message starts when the first has left it.
  await waitFor("the next message to be delivered", async () => {
    const result = await client.attempt({
      nextHop: servers(peer),
      message: testMessage().meta,
      recipients: [0],
      body: testMessage().body,
      signal: new AbortController().signal,
    });
    return result.kind === "tried" && summary(result.outcomes.get(0)) === "delivered";
  });
  assert.equal(peer.connections, row.isReused ? 1 : 2);
}

const withoutPipelining = usualExtensions.filter((keyword) => keyword !== "PIPELINING");

for (const row of rows) {
  for (const [source, driver] of drivers) {
    for (const [how, extensions] of [
      ["pipelined", usualExtensions],
      ["one by one", withoutPipelining],
    ] as const) {
      if (row.isOneByOne && how === "pipelined") continue;
      const then = row.isReused ? "the session is used again" : "the session is not used again";
      const expected = (driver === passOn ? undefined : row.stored) ?? row.outcomes;
      test(`${row.name}: ${expected.join(", ")}, and ${then} (${source}, ${how})`, (t) =>
        check(t, driver, [...extensions], row, expected));
    }
  }
}
