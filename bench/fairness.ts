/**
 * `node bench/fairness.ts [messages] [workers] [rounds]`: what a dead destination costs a healthy one. The same number of
 * messages for each, the dead one's first in the queue, delivered by worker processes; and the healthy one's alone.
 */
import net from "node:net";
import { startSink } from "./peers/sink.ts";
import { createWorkerBench } from "./peers/workers.ts";
import { median } from "./report.ts";

const [messages = 5000, workers = 2, rounds = 5] = process.argv.slice(2).map(Number);

/** @returns messages a second to the healthy destination, and the connections that the dead one saw */
async function measure(withDead: boolean): Promise<{ perSecond: number; probes: number }> {
  const sink = await startSink();
  let probes = 0;
  // It takes connections and says nothing, as a black hole does where packets vanish.
  const mute = net.createServer((socket) => {
    probes++;
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.3", resolve));
  const { port } = mute.address() as net.AddressInfo;
  const bench = await createWorkerBench({
    relay: {
      routes: [
        { to: "*@dead.example", via: `127.0.0.3:${port}` },
        { to: "*@healthy.example", via: `127.0.0.1:${sink.port}` },
      ],
    },
    timeouts: { greeting: "30s" },
  });
  if (withDead) await bench.accept("dead.example", messages);
  await bench.accept("healthy.example", messages);
  bench.start(workers);
  // From the first delivery: how long processes take to start is another matter.
  await sink.untilMessages(1, 60_000);
  const startMs = performance.now();
  await sink.untilMessages(messages, 300_000);
  const seconds = (performance.now() - startMs) / 1000;
  await bench.close();
  mute.close();
  await sink.stop();
  return { perSecond: messages / seconds, probes };
}

console.log(`${messages} messages for each destination, ${workers} workers`);
const shares: number[] = [];
for (let round = 1; round <= rounds; round++) {
  const alone = await measure(false);
  const beside = await measure(true);
  shares.push(beside.perSecond / alone.perSecond);
  console.log(
    `round ${round}: alone ${alone.perSecond.toFixed(0)} msg/s, beside a dead one ${beside.perSecond.toFixed(0)} msg/s, ${beside.probes} probes`,
  );
}
console.log(`median: ${(100 * median(shares)).toFixed(0)} % of what it has alone`);
