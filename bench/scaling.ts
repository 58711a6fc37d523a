/** One, two and four workers to a destination that is slow with each message, without and with a limit of connections. */
import type { BenchOptions } from "./options.ts";
import { startScriptedSink } from "./peers/scripted-sink.ts";
import { createWorkerBench } from "./peers/workers.ts";
import type { Row, Section } from "./report.ts";

const delayMs = 50;
const limits = [1000, 20];

export async function scaling({ rounds, scale, say }: BenchOptions): Promise<Section> {
  const rows: Row[] = [];
  for (const connections of limits) {
    const measured = new Map<number, number[]>();
    for (let round = 0; round < rounds; round++) {
      for (const workers of [1, 2, 4]) {
        const perSecond = await measure(workers, connections, Math.round(2000 * workers * scale));
        measured.set(workers, [...(measured.get(workers) ?? []), perSecond]);
        say(`scaling, ${connections} connections, ${workers} workers: ${perSecond.toFixed(0)} msg/s`);
      }
    }
    const alone = { name: "1 worker", values: measured.get(1) ?? [] };
    for (const workers of [2, 4]) {
      rows.push({
        name: `${workers} workers, at most ${connections} connections to the destination`,
        unit: "msg/s",
        ours: measured.get(workers) ?? [],
        theirs: alone,
      });
    }
  }
  return {
    title: "Delivery workers",
    about: `To a server that takes ${delayMs} ms for each message; each worker has 15 attempts at once for fresh mail (\`delivery.concurrency: 20\`).`,
    rows,
  };
}

async function measure(workers: number, connections: number, messages: number): Promise<number> {
  const sink = await startScriptedSink({ delayMs });
  const bench = await createWorkerBench({
    relay: { routes: [{ to: "*", via: `127.0.0.1:${sink.port}` }] },
    delivery: { concurrency: 20 },
    limits: { clients: { connections: 1000 }, destinations: [{ match: "*", connections }] },
  });
  await bench.accept("slow.example", messages);
  bench.start(workers);
  // Measured without the start of the processes.
  const first = Math.ceil(messages / 10);
  await sink.untilMessages(first, 60_000);
  const [before, startMs] = [sink.counts().messages, performance.now()];
  await sink.untilMessages(messages, 300_000);
  const seconds = (performance.now() - startMs) / 1000;
  await bench.close();
  await sink.stop();
  return (messages - before) / seconds;
}
