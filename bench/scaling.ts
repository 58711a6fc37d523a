/**
 * `node bench/scaling.ts [messages]`: workers 1, 2 and 4 to a sink that takes a second for each final dot, each worker with
 * 20 attempts at once; then the same with a destination limit of 20 connections, which no number of workers passes.
 */
import { startSink } from "./peers/sink.ts";
import { createWorkerBench } from "./peers/workers.ts";

const [messages = 200] = process.argv.slice(2).map(Number);

async function measure(workers: number, connections: number): Promise<number> {
  const sink = await startSink(["-w", "1"]);
  const bench = await createWorkerBench({
    relay: { routes: [{ to: "*", via: `127.0.0.1:${sink.port}` }] },
    delivery: { concurrency: 40 },
    limits: { destinations: [{ match: "*", connections }] },
  });
  await bench.accept("slow.example", messages);
  bench.start(workers);
  await sink.untilMessages(1, 60_000);
  const startMs = performance.now();
  await sink.untilMessages(messages, 300_000);
  const seconds = (performance.now() - startMs) / 1000;
  await bench.close();
  await sink.stop();
  return messages / seconds;
}

for (const connections of [1000, 20]) {
  for (const workers of [1, 2, 4]) {
    const perSecond = await measure(workers, connections);
    console.log(`limit ${connections} connections, ${workers} workers: ${perSecond.toFixed(1)} msg/s`);
  }
}
