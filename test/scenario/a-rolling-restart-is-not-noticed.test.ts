/** Several processes of each service are restarted one by one under load. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { freePort } from "../support/free-port.ts";
import { startRedis } from "../support/redis.ts";
import { createServiceProcesses, type ServiceProcess } from "../support/service-processes.ts";
import { SmtpClient } from "../support/smtp-client.ts";
import { startSmtpPeer } from "../support/smtp-peer.ts";
import { waitFor } from "../support/wait-for.ts";

interface Load {
  /** Numbers of the messages that got 250. */
  accepted: Set<number>;
  /** What clients saw besides the usual replies, and 421 between two transactions. */
  surprises: string[];
  /** 421 between two transactions. */
  turnedAway: number;
  stop(): Promise<void>;
}

/** Clients that send messages over sessions of several messages each, half of them with the envelope in one piece. */
function sendMail(port: number, clients: number): Load {
  const load: Load = { accepted: new Set(), surprises: [], turnedAway: 0, stop };
  let isOver = false;
  let count = 0;

  /** One session. @returns at its end, or when it is turned away */
  async function session(pipelines: boolean): Promise<void> {
    let client: SmtpClient;
    try {
      client = await SmtpClient.connect(port);
    } catch (error) {
      load.surprises.push(`connect: ${(error as Error).message}`);
      return;
    }
    /** @returns whether the session goes on; between two transactions it may end with 421 */
    const expect = async (what: string, code: string, isBetween: boolean): Promise<boolean> => {
      const reply = await client.reply(30_000).catch((error: Error) => error.message);
      if (reply.startsWith(code)) return true;
      if (isBetween && /^421 4\.3\.2 /.test(reply)) load.turnedAway++;
      else load.surprises.push(`${what}: ${reply}`);
      return false;
    };
    try {
      if (!(await expect("greeting", "220", true))) return;
      client.write("EHLO client.example\r\n");
      if (!(await expect("EHLO", "250", true))) return;
      for (let i = 0; i < 5 && !isOver; i++) {
        const number = count++;
        const envelope = ["MAIL FROM:<ann@example.net>", "RCPT TO:<bob@example.com>", "DATA"];
        if (pipelines) client.write(`${envelope.join("\r\n")}\r\n`);
        for (const [step, command] of envelope.entries()) {
          if (!pipelines) client.write(`${command}\r\n`);
          if (!(await expect(command, step === 2 ? "354" : "250", step === 0))) return;
        }
        client.write(`X-Number: ${number}\r\n\r\nHello.\r\n.\r\n`);
        if (!(await expect("the final dot", "250", false))) return;
        load.accepted.add(number);
      }
      client.write("QUIT\r\n");
      await expect("QUIT", "221", true);
    } finally {
      client.close();
    }
  }

  const loops = Array.from({ length: clients }, async (_, index) => {
    while (!isOver) await session(index % 2 === 0);
  });
  async function stop(): Promise<void> {
    isOver = true;
    await Promise.all(loops);
  }
  return load;
}

async function startWorld(t: TestContext) {
  const redis = await startRedis();
  const peer = await startSmtpPeer();
  const port = await freePort();
  const services = createServiceProcesses({
    listeners: [{ name: "submission", address: "127.0.0.1", port, destination: "self", early_talker: 0 }],
    redis: { url: redis.url },
    relay: { routes: [{ to: "*", via: `127.0.0.1:${peer.port}` }] },
    limits: { clients: { connections: 0 } },
    health: { port: 0 },
  });
  t.after(async () => {
    await services.close();
    await peer.stop();
    await redis.close();
  });
  const start = (...names: ServiceProcess["service"][]) =>
    Promise.all(names.map((name) => services.start(name)));
  return { peer, port, services, start };
}

test("restarted one by one under load, no mail is lost, none comes twice, and clients see 421 between messages at most", async (t) => {
  const { peer, port, services, start } = await startWorld(t);
  const processes = await start("ingress", "ingress", "delivery", "delivery");
  const load = sendMail(port, 4);
  const under = async (what: string): Promise<void> => {
    const [sent, received] = [load.accepted.size, peer.received.length];
    await waitFor(
      `mail to go on ${what}`,
      () => load.accepted.size > sent + 20 && peer.received.length > received + 20,
    );
  };
  await under("at first");
  for (const [index, process] of processes.entries()) {
    assert.equal(await process.stop(), 0, `${process.service} stopped cleanly`);
    await under(`without one ${process.service}`);
    processes[index] = await services.start(process.service);
    await under(`with a new ${process.service}`);
  }
  await load.stop();
  t.diagnostic(`${load.accepted.size} messages, ${load.turnedAway} sessions turned away`);
  const numbers = () =>
    peer.received.map(({ data }) => Number(/X-Number: (\d+)/.exec(data.toString("latin1"))?.[1]));
  await waitFor("everything to be delivered", () => new Set(numbers()).size >= load.accepted.size, 60_000);
  assert.deepEqual(load.surprises, []);
  assert.ok(load.turnedAway > 0, "sessions were open when their process was stopped");
  const received = numbers();
  assert.equal(received.length, new Set(received).size, "none came twice");
  assert.deepEqual(
    [...load.accepted].filter((number) => !received.includes(number)),
    [],
    "none was lost",
  );
  const late = services.log.filter(({ message }) => /grace|could not stop/.test(String(message)));
  assert.deepEqual(late, []);
});
