/** kill -9 and FLUSHALL while 2,000 messages go through: all arrive. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { startDnsZone } from "../support/dns-zone.ts";
import { type Gateway, type ServiceName, startGateway } from "../support/gateway.ts";
import { run, unlessInstalled, unlessRoot } from "../support/programs.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

const skip = unlessRoot() || unlessInstalled("redis-server", "redis-cli", "smtp-source");
const total = 2000;

/**
 * Sends `total` messages by smtp-source while `disturb` does its worst, and waits until each that was accepted arrived.
 * A client whose connection broke sends the rest again, as a client does.
 */
async function survives(disturb: (gateway: Gateway, arrived: () => number) => Promise<void>): Promise<void> {
  const arrivedSubjects = new Set<string>();
  let copies = 0;
  const peer = await startSmtpPeer({
    address: "127.0.25.9",
    port: 25,
    script: {
      message: ({ to }) => {
        for (const { address } of to) arrivedSubjects.add(address);
        copies += 1;
        return undefined;
      },
    },
  });
  const zone = await startDnsZone({
    "busy.example": { MX: [[1, "mx.busy.example"]] },
    "mx.busy.example": { A: ["127.0.25.9"] },
  });
  const gateway = await startGateway({ dns: { servers: [zone.server] } });
  try {
    const accepted = new Set<string>();
    const fault = disturb(gateway, () => arrivedSubjects.size);
    await send(gateway, accepted);
    await fault;
    await waitFor(
      "every accepted message to arrive",
      () => [...accepted].every((to) => arrivedSubjects.has(to)),
      120_000,
    );
    // All mail may arrive before the admin, which was killed with others, runs again.
    await waitFor(
      "the admin to answer",
      async () => (await gateway.postern("health", "admin")).code === 0,
      60_000,
    );
    await waitFor("the queue to be empty", async () => (await gateway.queue()).length === 0, 60_000);
    assert.equal(accepted.size, total);
    assert.ok(copies < total * 1.2, `${copies} copies of ${total} messages`);
  } finally {
    await gateway.stop();
    await zone.stop();
    await peer.stop();
  }
}

/** Ten clients, each message to a recipient of its own, sent again until it got its 250. */
async function send(gateway: Gateway, accepted: Set<string>): Promise<void> {
  const waiting = Array.from({ length: total }, (_, n) => `r${n}@busy.example`);
  const client = async (): Promise<void> => {
    let session: SmtpClient | undefined;
    for (let to = waiting.pop(); to !== undefined; to = waiting.pop()) {
      try {
        if (session === undefined) {
          session = await SmtpClient.connect(gateway.port);
          await session.reply();
          await session.command("EHLO client.example");
        }
        session.write(`MAIL FROM:<s@sender.example>\r\nRCPT TO:<${to}>\r\nDATA\r\n`);
        const replies = [await session.reply(), await session.reply(), await session.reply()];
        if (!replies[2]?.startsWith("354")) throw new Error(replies.join(" / "));
        const reply = await session.command(`Subject: ${to}\r\n\r\nhello ${"x".repeat(1000)}\r\n.`);
        if (!reply.startsWith("250")) throw new Error(reply);
        accepted.add(to);
      } catch {
        session?.close();
        session = undefined;
        waiting.push(to);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    session?.close();
  };
  await Promise.all(Array.from({ length: 10 }, client));
}

describe("2,000 messages all arrive", { skip }, () => {
  const victims: ServiceName[][] = [["ingress"], ["delivery"], ["bounce", "admin"]];
  for (const services of victims) {
    test(`though ${services.join(" and ")} ${services.length > 1 ? "are" : "is"} killed in the middle, twice`, async () => {
      await survives(async (gateway, arrived) => {
        for (const at of [300, 900]) {
          await waitFor(`${at} messages to arrive`, () => arrived() >= at, 60_000);
          for (const service of services) gateway.kill(service);
        }
      });
    });
  }

  test("though Redis is flushed in the middle", async () => {
    await survives(async (gateway, arrived) => {
      await waitFor("500 messages to arrive", () => arrived() >= 500, 60_000);
      const flushed = await run("redis-cli", ["-s", gateway.redisSocket, "FLUSHALL"]);
      assert.equal(flushed.code, 0, flushed.output);
    });
  });

  test("though Redis is killed in the middle", async () => {
    await survives(async (gateway, arrived) => {
      await waitFor("500 messages to arrive", () => arrived() >= 500, 60_000);
      const info = await run("redis-cli", ["-s", gateway.redisSocket, "INFO", "server"]);
      process.kill(Number(/process_id:(\d+)/.exec(info.output)?.[1]), "SIGKILL");
    });
  });
});
