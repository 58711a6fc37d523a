/**
 * What a dead destination costs a healthy one. Two worker processes deliver the same number of messages to each, those of
 * the dead one first in the queue; then the messages of the healthy one alone.
 */
import net from "node:net";
import type { BenchOptions } from "./options.ts";
import { startSink } from "./peers/sink.ts";
import { createWorkerBench } from "./peers/workers.ts";
import type { Section } from "./report.ts";

const workers = 2;

export async function fairness({ rounds, scale, say }: BenchOptions): Promise<Section> {
  const messages = Math.round(5000 * scale);
  const [alone, beside]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    alone.push((await measure(messages, false)).perSecond);
    const { perSecond, probes } = await measure(messages, true);
    beside.push(perSecond);
    say(
      `fairness: ${alone.at(-1)?.toFixed(0)} msg/s alone, ${perSecond.toFixed(0)} beside a dead destination, which saw ${probes} connections`,
    );
  }
  return {
    title: "A dead destination beside a healthy one",
    about: `${messages} messages for each, the dead one's first, ${workers} workers. The dead one accepts connections and never answers.`,
    rows: [
      {
        name: "throughput of the healthy destination",
        unit: "msg/s",
        ours: beside,
        theirs: { name: "alone", values: alone },
        target: { kind: "ratio-at-least", value: 0.8 },
      },
    ],
  };
}

/** @returns messages a second to the healthy destination, and the number of connections to the dead one */
async function measure(messages: number, withDead: boolean): Promise<{ perSecond: number; probes: number }> {
  const sink = await startSink();
  let probes = 0;
  // Accepts connections and never answers.
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
  // Measured from the first delivery, without the start of the processes.
  await sink.untilMessages(1, 60_000);
  const startMs = performance.now();
  await sink.untilMessages(messages, 300_000);
  const seconds = (performance.now() - startMs) / 1000;
  await bench.close();
  mute.close();
  await sink.stop();
  return { perSecond: messages / seconds, probes };
}
