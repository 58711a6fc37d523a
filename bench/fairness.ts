/**
 * `node bench/fairness.ts [messages] [workers]`: what a dead destination costs a healthy one. The same number of
 * messages for each, the dead one's first in the queue, delivered by worker processes; and the healthy one's alone.
 */
import { type ChildProcess, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { makeQueueId } from "../shared/mail/queue-id.ts";
import { createProducer } from "../shared/queue/producer.ts";
import { createFsSpool } from "../shared/spool/fs-spool.ts";
import { startRedis } from "../test/support/redis.ts";
import { startSink } from "./peers/sink.ts";

const messages = Number(process.argv[2] ?? 5000);
const workers = Number(process.argv[3] ?? 2);
const worker = fileURLToPath(new URL("../test/support/delivery-process.ts", import.meta.url));

interface Figures {
  perSecond: number;
  /** Connections that the dead destination saw. */
  probes: number;
}

async function measure(withDead: boolean): Promise<Figures> {
  const redis = await startRedis();
  const sink = await startSink();
  let probes = 0;
  // It takes connections and says nothing, as a black hole does where packets vanish.
  const mute = net.createServer((socket) => {
    probes++;
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.3", resolve));
  const { port } = mute.address() as net.AddressInfo;
  const data = mkdtempSync(path.join(tmpdir(), "bench-fairness-"));
  const config = {
    data,
    redis: { url: redis.url },
    relay: {
      routes: [
        { to: "*@dead.example", via: `127.0.0.3:${port}` },
        { to: "*@healthy.example", via: `127.0.0.1:${sink.port}` },
      ],
    },
    timeouts: { greeting: "30s" },
  };
  const spool = createFsSpool({ directory: path.join(data, "spool"), followMs: 50 });
  const producer = createProducer({ url: redis.url }, pino({ level: "warn" }));
  const accept = async (domain: string): Promise<void> => {
    for (let start = 0; start < messages; start += 100) {
      const stored = await Promise.all(
        Array.from({ length: Math.min(100, messages - start) }, async () => {
          const body = Buffer.from(`Subject: hello\r\n\r\n${"x".repeat(2000)}\r\n`);
          const draft = spool.draft();
          await draft.write(body);
          return draft.commit({
            version: 1,
            id: makeQueueId(Date.now(), randomBytes(9)),
            receivedAtMs: Date.now(),
            envelope: { reversePath: "sender@bench.example", recipients: [{ address: `user@${domain}` }] },
            origin: null,
            received: "",
            size: body.length,
            has8bit: false,
            parts: [[0]],
          });
        }),
      );
      await producer.addDeliveries(stored.map((message) => ({ message, routes: [] })));
    }
  };
  if (withDead) await accept("dead.example");
  await accept("healthy.example");

  const running: ChildProcess[] = Array.from({ length: workers }, () =>
    fork(worker, [JSON.stringify(config)]),
  );
  // From the first delivery: how long processes take to start is another matter.
  await sink.untilMessages(1, 60_000);
  const startMs = performance.now();
  await sink.untilMessages(messages, 300_000);
  const seconds = (performance.now() - startMs) / 1000;
  for (const child of running) {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
  await producer.close();
  await spool.close();
  mute.close();
  await sink.stop();
  await redis.close();
  rmSync(data, { recursive: true, force: true });
  return { perSecond: messages / seconds, probes };
}

console.log(`${messages} messages for each destination, ${workers} workers`);
const rounds = 3;
let [alone, beside, probes] = [0, 0, 0];
for (let round = 1; round <= rounds; round++) {
  const a = await measure(false);
  const b = await measure(true);
  console.log(
    `round ${round}: alone ${a.perSecond.toFixed(0)} msg/s, beside a dead one ${b.perSecond.toFixed(0)} msg/s, ${b.probes} probes`,
  );
  alone += a.perSecond;
  beside += b.perSecond;
  probes = Math.max(probes, b.probes);
}
console.log(`mean: ${((100 * beside) / alone).toFixed(0)} % of what it has alone; at most ${probes} probes`);
