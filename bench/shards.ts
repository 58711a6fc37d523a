/** End to end with the queues over four shards beside a single one: what shards cost, on one Redis, which gains nothing by them. */
import { loadedSide } from "./end-to-end.ts";
import type { BenchOptions } from "./options.ts";
import { startPostern } from "./peers/postern.ts";
import { startSink } from "./peers/sink.ts";
import type { Row, Section } from "./report.ts";
import { sideBySide } from "./side-by-side.ts";
import type { Load } from "./smtp-source.ts";

const loads: Load[] = [
  { name: "4 KiB, 1 session", sessions: 1, messages: 500, bytes: 4096, reuse: true },
  { name: "4 KiB, 20 sessions", sessions: 20, messages: 10_000, bytes: 4096, reuse: true },
];

export async function shards(options: BenchOptions): Promise<Section> {
  const [ourSink, theirSink] = [await startSink(), await startSink()];
  const start = (shards: number, port: number) =>
    startPostern({
      config: { queue: { shards }, relay: { routes: [{ to: "*", via: `127.0.0.1:${port}` }] } },
    });
  const four = await start(4, ourSink.port);
  const one = await start(1, theirSink.port);
  const rows: Row[] = [];
  try {
    for (const load of loads) {
      const count = Math.ceil(load.messages * options.scale);
      const measured = await sideBySide(
        load.name,
        { count, warmUp: Math.max(load.sessions, Math.ceil(count / 5)) },
        [loadedSide(four, ourSink, load), loadedSide(one, theirSink, load)],
        "1 shard",
        undefined,
        options,
      );
      rows.push(...measured);
    }
    return {
      title: "Four shards against one",
      about:
        "From smtp-source through the gateway until smtp-sink has counted all; both gateways have one Redis.",
      rows,
    };
  } finally {
    await four.stop();
    await one.stop();
    await ourSink.stop();
    await theirSink.stop();
  }
}
