import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createLogger } from "../../shared/runtime/log.ts";
import { createRedis } from "../../shared/runtime/redis.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { message, send } from "../support/inline.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { type SmtpPeer, startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

let isBusy = true;
let first: SmtpPeer;
let second: SmtpPeer;
let gateway: Gateway;

before(async () => {
  const script = { rcpt: () => (isBusy ? "450 4.2.0 later" : undefined) };
  first = await startSmtpPeer({ script: { rcpt: () => "450 4.2.0 the first is busy" } });
  second = await startSmtpPeer({ script });
  gateway = await startGateway({
    queue: { retry: ["1h"], delay_warning: 0 },
    relay: {
      hosts: {
        isp: { host: "127.0.0.1", port: first.port, tls: "may" },
        isp2: { host: "127.0.0.1", port: second.port, tls: "may" },
      },
      routes: [{ to: "*", via: "isp" }],
    },
  });
});
after(async () => {
  await gateway.stop();
  await Promise.all([first.stop(), second.stop()]);
});

async function sendTo(...to: string[]): Promise<void> {
  const client = await SmtpClient.connect(gateway.port);
  await client.reply();
  await client.command("EHLO client.example");
  for (const address of to) {
    const { dot } = await send(client, [`<${address}>`], message, "<me@sender.example>");
    assert.match(dot ?? "", /^250 .*queued as/);
  }
  client.close();
}

const row = async (to: string) => (await gateway.queue("--to", to))[0] as Record<string, string> | undefined;
const deferred = (to: string, route: RegExp) =>
  waitFor(`${to} to be deferred`, async () => {
    const found = await row(to);
    return found?.status === "deferred" && route.test(found.route ?? "") ? found : undefined;
  });
const arrivedAt = (peer: SmtpPeer, to: string) =>
  peer.received.filter((each) => each.to.some(({ address }) => address === to)).length;

test("rerouted mail is due now by its new next hop, and the loss of Redis does not forget it", async () => {
  await sendTo("a@one.example", "b@two.example");
  await deferred("a@one.example", /via isp \(/);
  await deferred("b@two.example", /via isp \(/);
  const rerouted = await gateway.postern(
    "queue",
    "reroute",
    "--to",
    "*@one.example",
    "--via",
    "isp2",
    "--reason",
    "isp is full",
  );
  assert.deepEqual([rerouted.code, rerouted.stdout], [0, "rerouted 1 of 1\n"]);
  const { id } = await deferred("a@one.example", /via isp2 \(/);
  await waitFor("an attempt at the new next hop", async () => {
    const found = await row("a@one.example");
    return Number(found?.attempts) >= 2 && found?.reason?.includes("later");
  });

  const trace = await waitFor("the reroute in the timeline", async () => {
    const { stdout } = await gateway.postern("trace", String(id).replace(/-0$/, ""));
    return stdout.includes("rerouted") && stdout;
  });
  assert.match(trace, /rerouted +via isp2, by admin: isp is full/);

  const redis = createRedis(
    { url: `unix://${gateway.redisSocket}` },
    "plain",
    createLogger("test", { write() {} }),
  );
  await redis.flushall();
  redis.disconnect();
  isBusy = false;
  await waitFor(
    "the mail to arrive by the new next hop",
    () => arrivedAt(second, "a@one.example") === 1,
    60_000,
  );
  await deferred("b@two.example", /via isp \(/);
  assert.equal(arrivedAt(second, "b@two.example"), 0);
});

test("via the original the routing table decides again, also after the loss of Redis", async () => {
  isBusy = true;
  assert.equal((await gateway.postern("queue", "reroute", "--to", "b@two.example", "--via", "isp2")).code, 0);
  await waitFor("an attempt at the new next hop", async () =>
    (await row("b@two.example"))?.reason?.includes("4.2.0 later"),
  );
  assert.equal((await gateway.postern("queue", "reroute", "--all", "--via", "original")).code, 0);
  await waitFor("an attempt at the old next hop", async () => {
    const found = await row("b@two.example");
    return (
      found?.status === "deferred" &&
      found.reason?.includes("the first is busy") &&
      /via isp \(/.test(found.route ?? "")
    );
  });
});
