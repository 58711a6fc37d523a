import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { message, send } from "../support/inline.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let isBusy = false;
/** Greylisted once each. */
const known = new Set<string>();
/** The remote server does not reply to the dot until these are called. */
let answers: ((reply: string) => void)[] | undefined;
/** To the final dot. */
let refusal: string | undefined;
let peer: SmtpPeer;
let elsewhere: SmtpPeer;
let gateway: Gateway;

before(async () => {
  peer = await startSmtpPeer({
    extensions: ["PIPELINING", "8BITMIME"],
    script: {
      rcpt: (address) =>
        address.startsWith("no")
          ? "550 5.1.1 no such user"
          : isBusy || (address.startsWith("grey") && !known.has(address) && known.add(address))
            ? "450 4.2.0 later"
            : undefined,
      message: () =>
        answers === undefined
          ? (refusal ?? "250 2.0.0 taken")
          : new Promise((resolve) => answers?.push(resolve)),
    },
  });
  elsewhere = await startSmtpPeer();
  gateway = await startGateway({
    protected: [{ domains: ["example.com"], servers: [`127.0.0.1:${peer.port}`] }],
    relay: { routes: [{ to: "*", via: `127.0.0.1:${elsewhere.port}` }] },
  });
});
after(async () => {
  await gateway.stop();
  await peer.stop();
  await elsewhere.stop();
});

async function client(): Promise<SmtpClient> {
  const connected = await SmtpClient.connect(gateway.port);
  await connected.reply();
  await connected.command("EHLO client.example");
  return connected;
}

const copiesOf = (address: string) =>
  peer.received.filter(({ to }) => to.some((recipient) => recipient.address === address)).length;

test("inline: the remote 250 and the remote 550 are the client's, and the queue stays empty", async () => {
  const connected = await client();
  // The hold rules are known a moment after the start; until then mail is queued.
  await waitFor("inline delivery", async () => {
    const sent = await send(connected, ["<no@example.com>", "<warm@example.com>"]);
    assert.equal(sent.rcpt[0] === "250 2.1.5 Ok" || sent.rcpt[0] === "550 5.1.1 no such user", true);
    return sent.dot === "250 2.0.0 taken";
  });
  const sent = await send(connected, ["<no@example.com>", "<a@example.com>"]);
  connected.close();
  assert.deepEqual(sent.rcpt, ["550 5.1.1 no such user", "250 2.1.5 Ok"]);
  assert.equal(sent.dot, "250 2.0.0 taken");
  assert.equal(copiesOf("a@example.com"), 1);
});

test("each step that the remote server took is in the timeline, and who refused what it refused", async () => {
  const connected = await client();
  const sent = await send(connected, ["<no-one@example.com>", "<steps@example.com>", "<second@example.com>"]);
  assert.equal(sent.dot, "250 2.0.0 taken");
  refusal = "554 5.6.0 not this one";
  assert.equal((await send(connected, ["<content@example.com>"])).dot, "554 5.6.0 not this one");
  refusal = undefined;
  connected.close();
  interface Step {
    command: string;
    reply?: string;
    ms: number;
  }
  const trace = async (address: string, event: string) => {
    const { stdout } = await gateway.postern("trace", address, "--json");
    const events = JSON.parse(stdout || "[]") as {
      event: string;
      to: unknown;
      steps?: Step[];
      remote?: string;
      text: string;
    }[];
    return events.filter((each) => each.event === event && String(each.to) === address);
  };
  const server = `[127.0.0.1]:${peer.port}`;
  const [delivered] = await waitFor("the events", async () => {
    const found = await trace("steps@example.com", "delivery.delivered");
    return found.length > 0 && found;
  });
  assert.deepEqual(
    delivered?.steps?.map(({ command, reply }) => [command, reply?.slice(0, 3)]),
    [
      ["MAIL", "250"],
      ["RCPT", "250"],
      ["DATA", "354"],
      ["DOT", undefined],
    ],
  );
  assert.ok(delivered?.steps?.every(({ ms }) => Number.isInteger(ms) && ms >= 0));
  assert.match(
    delivered?.text ?? "",
    /: 250 2\.0\.0 taken \(.*\d+ ms\), MAIL 250 .* in \d+ ms, RCPT 250 .* in \d+ ms, DATA 354.* in \d+ ms, final dot in \d+ ms$/,
  );
  // The others of the message have their own RCPT, and no event more.
  const [second, ...more] = await trace("second@example.com", "delivery.delivered");
  assert.deepEqual([second?.steps?.map(({ command }) => command), more], [["RCPT"], []]);
  const [denied] = await trace("no-one@example.com", "message.refused");
  assert.equal(denied?.remote, server);
  const refused = await waitFor(
    "the refusal",
    async () => (await trace("content@example.com", "message.refused"))[0],
  );
  assert.equal(refused.remote, server);
  assert.match(refused.text, /^DOT by .*: 554 5\.6\.0 not this one \(.*ms\), MAIL 250 .*final dot in/);
});

test("mail that the remote server could not take inline is delivered by the queue, once", async () => {
  isBusy = true;
  const connected = await client();
  const sent = await send(connected, ["<later@example.com>"]);
  connected.close();
  assert.match(sent.dot ?? "", /^250 2\.0\.0 Ok: queued/);
  isBusy = false;
  await waitFor("the queue to deliver", () => copiesOf("later@example.com") === 1);
  await waitFor(
    "the queue to be empty",
    async () => (await gateway.queue("--to", "later@example.com")).length === 0,
  );
  assert.equal(copiesOf("later@example.com"), 1);
});

test("NOTIFY=SUCCESS: delivered inline once, and the sender gets a report", async () => {
  const connected = await client();
  const sent = await send(
    connected,
    ["<s@example.com> NOTIFY=SUCCESS", "<friend@elsewhere.example>"],
    message,
    "<me@sender.example> ENVID=QQ7",
  );
  connected.close();
  assert.match(sent.dot ?? "", /^250 2\.0\.0 Ok: queued/);
  const dsn = await waitFor("the report", () => elsewhere.received.find(({ from }) => from === ""));
  const text = dsn.data.toString("latin1");
  assert.match(text, /^Final-Recipient: rfc822; s@example\.com\r\nAction: delivered\r\n/m);
  assert.match(text, /^Original-Envelope-Id: QQ7\r$/m);
  await waitFor("the friend's copy", () =>
    elsewhere.received.some(({ from }) => from === "me@sender.example"),
  );
  assert.equal(copiesOf("s@example.com"), 1);
});

test("the ingress is killed when the remote server has the message and has not answered: no 250, so the client sends it again", async () => {
  const connected = await client();
  for (const line of ["MAIL FROM:<me@example.org>", "RCPT TO:<killed@example.com>", "DATA"])
    assert.match(await connected.command(line), /^[23]/);
  const waiting: NonNullable<typeof answers> = [];
  answers = waiting;
  connected.write(`${message}.\r\n`);
  await waitFor("the message to reach the remote server", () => waiting.length === 1);
  gateway.kill("ingress");
  assert.equal(await connected.untilClosed(), "");
  answers = undefined;
  waiting[0]?.("250 2.0.0 taken");
  const again = await waitFor("the ingress to be back", () => client().catch(() => undefined));
  assert.match((await send(again, ["<killed@example.com>"])).dot ?? "", /^250 /);
  again.close();
  await waitFor("both copies", () => copiesOf("killed@example.com") === 2);
  await waitFor("the queue to be empty", async () => (await gateway.queue("--to", "killed@*")).length === 0);
  assert.equal(copiesOf("killed@example.com"), 2);
});

test("the ingress is killed while clients deliver inline and by the queue: mail that got 250 has arrived", async () => {
  const arrived = () => peer.received.filter(({ to }) => /^(grey|plain)/.test(to[0]?.address ?? "")).length;
  const waiting = Array.from({ length: 60 }, (_, n) => `${n % 3 === 0 ? "grey" : "plain"}${n}@example.com`);
  const accepted: string[] = [];
  /** Sends each until it gets its 250. */
  const oneClient = async (): Promise<void> => {
    for (let to = waiting.pop(); to !== undefined; to = waiting.pop()) {
      try {
        const connected = await client();
        const { dot } = await send(connected, [`<${to}>`]);
        connected.close();
        if (dot?.startsWith("250") !== true) throw new Error(dot);
        accepted.push(to);
      } catch {
        waiting.push(to);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  const clients = Array.from({ length: 6 }, oneClient);
  await waitFor("some to arrive", () => arrived() >= 10);
  gateway.kill("ingress");
  await Promise.all(clients);
  assert.equal(accepted.length, 60);
  await waitFor("all to arrive", () => accepted.every((to) => copiesOf(to) > 0));
  await waitFor("the queue to be empty", async () => (await gateway.queue()).length === 0);
  // Only messages that the six clients were sending may have come twice.
  assert.ok(arrived() <= 60 + 6, `${arrived()} copies of 60 messages`);
});

test("a held destination gets nothing inline until it is released", async () => {
  assert.equal((await gateway.postern("queue", "hold", "--to", "*@example.com", "--reason", "test")).code, 0);
  const connected = await client();
  const sent = await waitFor("the ingress to know the rule", async () => {
    const each = await send(connected, ["<held@example.com>"]);
    return each.dot?.includes("queued as") ? each : undefined;
  });
  assert.ok(sent);
  const before = copiesOf("held@example.com");
  await send(connected, ["<held@example.com>"]);
  connected.close();
  assert.equal(copiesOf("held@example.com"), before);
  const held = await gateway.queue("--to", "held@example.com");
  assert.equal(held.length, 2);
});
